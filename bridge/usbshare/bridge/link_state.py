"""What a link is to keep alive, where it is in its life, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class LinkState(Enum):
    """Where a link is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """What to open; `resumes`: whether a session that was lost is taken up again."""

    port_id: str
    observe: bool
    client_name: str
    resumes: bool = True


class LinkLostError(Exception):
    """The session is gone; the text says why."""
