"""Who is at the other end of a session, and what it sends."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.profiles import Priority
from usbshare.serial_svc.line.scheduler import Ordering

LARGEST_COMMAND_BYTES = 4096
OBSERVES = "the session only observes; open it in control mode to write"


def new_session_id() -> str:
    """Return an id that cannot be guessed."""
    return secrets.token_hex(8)


class Mode(Enum):
    """What a session may do."""

    CONTROL = "control"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class LineChoice:
    """How lines are delivered: what an error means, and whether Marlin's are numbered."""

    continues: bool = False
    checksums: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end, and what it asked for at open."""

    session_id: str
    identity: str
    name: str
    peer: str
    mode: Mode
    ordering: Ordering = Ordering.PROGRAM
    only_failures: bool = False
    takes: bool = False  # control from the holder
    lines: LineChoice | None = None  # by the firmware's own flow control


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a port open for control."""

    session_id: str
    identity: str
    client_name: str
    peer: str
    open_time: datetime

    def __str__(self) -> str:
        name = f" ({self.client_name})" if self.client_name else ""
        return f"{self.identity}{name} at {self.peer}"


def _anybody_may() -> None:
    """Ask for nothing."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A lost session to take up again, by a client that has all device bytes before `offset`.

    It has so many results of lines, too.
    `require_begin` raises why the client may not begin a new one in control, where it is lost.
    """

    token: str
    offset: int
    require_begin: Callable[[], None] = _anybody_may
    results: int = 0


class Command(NamedTuple):  # one a line of G-code: a dataclass takes four times as long to make
    """Bytes for the device; `priority` None lets the profile classify them."""

    id: int
    priority: Priority | None
    epoch: int
    offset: int
    data: bytes
    after_reset: int = 0


def malformed(command: Command, expected_offset: int) -> InvalidArgumentError:
    """Return what is wrong with a command that has another size or offset than it may have."""
    size = len(command.data)
    if not 1 <= size <= LARGEST_COMMAND_BYTES:
        return InvalidArgumentError(
            f"command.data has {size} bytes; 1 to {LARGEST_COMMAND_BYTES} are allowed"
        )
    return InvalidArgumentError(f"command.offset is {command.offset}; expected {expected_offset}")
