"""What the bridge sends on a session, and what it receives, free of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from usbshare.line.client_times import ClientTimes
from usbshare.line.profiles import Priority, Profile
from usbshare.line.settings import LineSettings, ModemLines


class SendCommand(NamedTuple):  # one a line of G-code: a dataclass takes longer to make
    """Program bytes; `offset` is that of the first one."""

    id: int
    offset: int
    data: bytes
    epoch: int
    priority: Priority | None = None
    after_reset: int = 0


@dataclass(frozen=True, slots=True)
class SendRealtime:
    """Real-time bytes, ahead of the program; the first has this number, 0 for uncounted ones."""

    data: bytes
    epoch: int
    first_number: int = 0


@dataclass(frozen=True, slots=True)
class Configure:
    """Settings that the program chose."""

    id: int
    settings: LineSettings


@dataclass(frozen=True, slots=True)
class SetLines:
    """Output lines that the program set; None leaves one alone."""

    id: int
    dtr: bool | None
    rts: bool | None


@dataclass(frozen=True, slots=True)
class HoldBreak:
    """A break that the program starts or ends, after its earlier bytes."""

    id: int
    on: bool


@dataclass(frozen=True, slots=True)
class Flush:
    """Buffers that the program emptied."""

    id: int
    received: bool
    written: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life with the round trip measured last, in seconds, and the last answer heard.

    `times`: our own parts of it, now and then.
    """

    id: int
    round_trip_s: float
    heard_id: int = 0
    times: ClientTimes | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Nothing but how many of the device's bytes were taken, which goes with every message."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits here after the session was resumed; `age_s`: the oldest of it."""

    size: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Bytes of a program that were discarded before the session began."""

    size: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The clean end of a session."""


@dataclass(frozen=True, slots=True)
class LineOptions:
    """How lines are delivered by the firmware's flow control.

    `continues`: lines go on behind one that was rejected. `checksums`: Marlin's are numbered.
    """

    continues: bool = False
    checksums: bool = False


Message = (
    SendCommand
    | SendRealtime
    | Configure
    | SetLines
    | HoldBreak
    | Flush
    | Heartbeat
    | Acknowledge
    | Waiting
    | Lost
    | Goodbye
)


@dataclass(frozen=True, slots=True)
class Hold:
    """A machine, or what waits for it, that does not go on; causes as in serial.proto, in words.

    `at` is UTC; `waiting_age_s` is None if unknown.
    """

    cause: str
    who: str
    at: datetime
    release: str
    waiting_bytes: int = 0
    waiting_age_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RemoteLatch:
    """Why a port refuses programs: the cause, by whom, since when, and the epoch that it began."""

    cause: str
    who: str
    reason: str
    at: datetime
    epoch: int
    release: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.who} at {self.at:%Y-%m-%d %H:%M:%S} UTC{reason}"


@dataclass(frozen=True, slots=True)
class RemotePort:
    """A port of the service, as last reported."""

    id: str
    description: str
    source: str
    device: str
    vendor_id: int | None
    product_id: int | None
    serial_number: str
    state: str
    reason: str
    profile: Profile
    configured_profile: str
    settings: LineSettings
    holder: str
    observers: int
    epoch: int
    latched: bool
    held: bool = False
    low_latency: bool | None = None
    stop_bytes: str = "own"
    sees_gcode: bool = False
    latch: RemoteLatch | None = None
    usb_socket: str = ""
    hold: Hold | None = None
    hold_number: int = 0
    machine_state: str = ""


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """The session is established; if `resumed`, it is the one whose token we sent.

    `resume_token` is empty where it could not be resumed, `link_timeout_s` 0 if not reported.
    """

    session_id: str
    port: RemotePort
    data_offset: int
    lines: ModemLines
    resume_token: str = ""
    resumed: bool = False
    not_resumed_reason: str = ""
    accepted_offset: int = 0
    accepted_commands: int = 0
    link_timeout_s: float = 0.0
    resume_window_s: float = 0.0
    firmware_buffer_bytes: int = 0


class DataEvent(NamedTuple):
    """Bytes from the device; `age_s` is how long they waited at the host, 0 if less than 10 ms."""

    offset: int
    data: bytes
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultEvent:
    """What became of a command; times in seconds. `reply`: the firmware's, to a line."""

    id: int
    outcome: str
    queue_time_s: float
    write_time_s: float
    message: str
    written_bytes: int = 0
    reply: str = ""
    answer_time_s: float | None = None


@dataclass(frozen=True, slots=True)
class OperationEvent:
    """What became of settings, lines, sequence, break, flush or drain."""

    id: int
    outcome: str
    message: str


@dataclass(frozen=True, slots=True)
class SettingsEvent:
    """The settings in force."""

    settings: LineSettings


@dataclass(frozen=True, slots=True)
class LinesEvent:
    """The modem lines."""

    lines: ModemLines


@dataclass(frozen=True, slots=True)
class PortEvent:
    """The port after a change."""

    port: RemotePort


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """How many commands wait at the port."""

    commands: int
    band: str


@dataclass(frozen=True, slots=True)
class GapEvent:
    """Device bytes that were lost because we read too slowly."""

    lost_bytes: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class HeartbeatEvent:
    """The answer to a heartbeat, and the highest number of a real-time byte that came.

    `host_time_s`: how long the host took to answer, None from an older service.
    """

    id: int
    realtime_number: int = 0
    host_time_s: float | None = None


@dataclass(frozen=True, slots=True)
class ClosedEvent:
    """The session ended cleanly."""


@dataclass(frozen=True, slots=True)
class ResetReport:
    """What a reset did: the bytes that were written, or the name of the line that was pulsed."""

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int
    pulsed: str


@dataclass(frozen=True, slots=True)
class AskedEvent:
    """Another identity asks for control; `who` is that and its client's name."""

    who: str


Event = (
    OpenedEvent
    | DataEvent
    | ResultEvent
    | OperationEvent
    | SettingsEvent
    | LinesEvent
    | PortEvent
    | QueueEvent
    | GapEvent
    | HeartbeatEvent
    | ClosedEvent
    | AskedEvent
)
