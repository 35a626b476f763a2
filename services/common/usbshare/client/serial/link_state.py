"""What a link keeps alive, its state, how it ends, and its listener."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from usbshare.client.serial.messages import (
    DataEvent,
    Event,
    GapEvent,
    LineOptions,
    OpenedEvent,
    ResultEvent,
)
from usbshare.client.serial.resumption import Loss, Resumed


class LinkListener(Protocol):
    """Receives the events of a link."""

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        """Note that a new session is established, and what the end of the last one cost, if any."""

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Note that the lost session is resumed."""

    def link_data(self, event: DataEvent) -> None:
        """Take bytes from the device."""

    def link_event(self, event: Event) -> None:
        """Take any other event of the session."""

    def link_sent(self) -> None:
        """Note that something left `upstream`."""

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        """Note that the session is gone, and for how long it can come back with nothing lost.

        `is_refused`: the host will have no more of us, and no other attempt is made.
        """

    def link_abandoned(self, loss: Loss) -> None:
        """Note that a session that was lost will not come back."""

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Note that the next attempt comes after `wait_s`, and why the last one failed."""


class LinkState(Enum):
    """Where a link is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """What to open.

    `resumes`: whether a lost session is resumed; `takes`: control from the client that has
    it. `lines`: each command is one, delivered by the firmware's own flow control.
    """

    port_id: str
    observe: bool
    client_name: str
    resumes: bool = True
    takes: bool = False
    lines: LineOptions | None = None

    @property
    def comes_again(self) -> tuple[type, ...]:
        """What the next stream of a session brings again that its old one has not brought."""
        results = () if self.lines is None else (ResultEvent,)
        return (DataEvent, GapEvent, *results)

    def of(self, port_id: str) -> SessionChoice:
        """Return the same for one port: the host's only one may be another machine later.

        Nothing is taken from anybody twice.
        """
        return replace(self, port_id=port_id, takes=False)


class LinkLostError(Exception):
    """The session is gone; the text says why."""
