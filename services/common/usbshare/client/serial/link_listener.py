"""Whom a link tells what happens to its sessions."""

from __future__ import annotations

from typing import Protocol

from usbshare.client.serial.messages import DataEvent, Event, OpenedEvent
from usbshare.client.serial.resumption import Loss, Resumed


class LinkListener(Protocol):
    """Whom a link tells."""

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        """Learn that a new session stands; and what the end of the one before cost, if any was."""

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Learn that the session that was lost goes on."""

    def link_data(self, event: DataEvent) -> None:
        """Take bytes from the device."""

    def link_event(self, event: Event) -> None:
        """Take any other event of the session."""

    def link_sent(self) -> None:
        """Learn that something left `upstream`."""

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        """Note that the session is gone, and for how long it can come back with nothing lost.

        `is_refused`: the host will have no more of us, and no other attempt is made.
        """

    def link_abandoned(self, loss: Loss) -> None:
        """Learn that a session that was lost will not come back."""

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Learn that the next attempt comes after `wait_s`, and why the last one failed."""
