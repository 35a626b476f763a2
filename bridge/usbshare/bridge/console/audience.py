"""Who is told of a port, and whose waiting lines a stop there makes void."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from usbshare.bridge.console.lines import Line


class Listener(Protocol):
    """One conversation, as far as it is told anything."""

    @property
    def chosen_port(self) -> str:
        """The port that it uses, empty where there is none."""
        ...

    def hear(self, line: Line) -> None:
        """Show what nobody asked for."""

    def discard(self, port_id: str, why: str) -> None:
        """Make void what waits to be sent to the port."""


class Audience:
    """The conversations that there are."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def join(self, listener: Listener) -> None:
        """Tell a conversation from now on."""
        self._listeners.append(listener)

    def part(self, listener: Listener) -> None:
        """Tell it no more."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    def tell(self, port_id: str, line: Line) -> None:
        """Tell everybody who uses the port."""
        for listener in list(self._listeners):
            if listener.chosen_port == port_id:
                listener.hear(line)

    def tell_all(self, line: Line) -> None:
        """Tell everybody."""
        for listener in list(self._listeners):
            listener.hear(line)

    def discard(self, port_id: str, why: str) -> None:
        """Make void what waits in conversations about the port."""
        for listener in list(self._listeners):
            listener.discard(port_id, why)
