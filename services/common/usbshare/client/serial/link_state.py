"""What a link is to keep alive, where it is in its life, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class LinkState(Enum):
    """Where a link is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """What to open.

    `resumes`: whether a session that was lost is taken up again; `takes`: control from whoever has
    it.
    """

    port_id: str
    observe: bool
    client_name: str
    resumes: bool = True
    takes: bool = False

    def of(self, port_id: str) -> SessionChoice:
        """Return the same for one port: the host's only one may be another machine later.

        Nothing is taken from anybody twice.
        """
        return replace(self, port_id=port_id, takes=False)


class LinkLostError(Exception):
    """The session is gone; the text says why."""
