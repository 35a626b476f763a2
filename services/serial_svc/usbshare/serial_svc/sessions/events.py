"""The events that the service sends to a session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    UsbshareError,
)
from usbshare.line.settings import LineSettings, ModemLines
from usbshare.serial_svc.line.scheduler import Band, CommandOutcome
from usbshare.serial_svc.sessions.port_description import PortDescription


class OperationOutcome(Enum):
    """What became of a request that acts on the line itself."""

    OK = "ok"
    ASSUMED_SUCCESS = "assumed success"
    ERROR = "error"
    TIMEOUT = "timeout"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True)
class Opened:
    """The session is established."""

    session_id: str
    port: PortDescription
    data_offset: int
    lines: ModemLines
    token: str = ""
    resumed: bool = False
    not_resumed_reason: str = ""
    accepted_offset: int = 0
    accepted_commands: int = 0
    link_timeout_s: float = 0.0
    resume_window_s: float = 0.0
    firmware_buffer_bytes: int = 0


class Data(NamedTuple):  # one a chunk: a dataclass takes four times as long to make
    """Bytes from the device; `offset` is that of the first one, `age_s` how long it waited here."""

    offset: int
    data: bytes
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command; times in seconds."""

    command_id: int
    outcome: CommandOutcome
    written_bytes: int = 0
    queue_time_s: float = 0.0
    write_time_s: float = 0.0
    message: str = ""
    reply: str = ""
    answer_time_s: float | None = None


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of settings, lines, sequence, break, flush or drain."""

    operation_id: int
    outcome: OperationOutcome
    message: str = ""
    settings: LineSettings | None = None


# What a request that acts on the line may fail with; anything else is our bug.
REFUSALS = (NotSupportedError, DeviceError, InvalidArgumentError)


def refusal(operation_id: int, error: UsbshareError) -> OperationResult:
    """Return the answer to a request that failed so."""
    is_missing = isinstance(error, NotSupportedError)
    outcome = OperationOutcome.NOT_SUPPORTED if is_missing else OperationOutcome.ERROR
    return OperationResult(operation_id, outcome, str(error))


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The settings in force."""

    settings: LineSettings


@dataclass(frozen=True, slots=True)
class LinesChanged:
    """The modem lines."""

    lines: ModemLines


@dataclass(frozen=True, slots=True)
class PortChanged:
    """The port after a change."""

    port: PortDescription


@dataclass(frozen=True, slots=True)
class QueueState:
    """How full the port's queue is."""

    commands: int
    queued_bytes: int
    band: Band
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Device bytes that the session lost because it read too slowly."""

    lost_bytes: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """The answer to a heartbeat; `read_at` is when that was read, by time.monotonic."""

    heartbeat_id: int
    realtime_number: int = 0
    read_at: float | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The session ended cleanly."""


@dataclass(frozen=True, slots=True)
class ControlRequested:
    """Another identity asks for control."""

    identity: str
    client_name: str


SessionEvent = (
    Opened
    | Data
    | CommandResult
    | OperationResult
    | SettingsChanged
    | LinesChanged
    | PortChanged
    | QueueState
    | Gap
    | HeartbeatReply
    | Closed
    | ControlRequested
)
