"""The interface of a simulated firmware towards its line."""

from __future__ import annotations

from typing import Protocol

from usbshare.sim.record import Record


class Controller(Protocol):
    """A firmware without its own clock; times are seconds and never decrease."""

    @property
    def record(self) -> Record:
        """What it has received, burned and lost."""
        ...

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the line; their answers are returned by the next `advance`."""

    def advance(self, now_s: float) -> bytes:
        """Run until `now_s` and return what was sent since the last call."""
        ...

    def next_event_s(self) -> float | None:
        """Return when `advance` is due; None while only received bytes can change anything."""
        ...

    def hard_reset(self, now_s: float) -> None:
        """Pull the reset pin, as a rising DTR does on most boards."""
