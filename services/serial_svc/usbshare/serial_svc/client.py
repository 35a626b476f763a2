"""Who is at the other end of a session, and what it sends."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from usbshare.common.profiles import Priority
from usbshare.serial_svc.scheduler import Ordering


def new_session_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_hex(8)


class Mode(Enum):
    """What a session may do."""

    CONTROL = "control"
    OBSERVE = "observe"


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


@dataclass(frozen=True, slots=True)
class Resumption:
    """A lost session to take up again, by a client that has all device bytes before `offset`."""

    token: str
    offset: int


class Command(NamedTuple):  # one a line of G-code: a dataclass takes four times as long to make
    """Bytes for the device; `priority` None lets the profile classify them."""

    id: int
    priority: Priority | None
    epoch: int
    offset: int
    data: bytes
