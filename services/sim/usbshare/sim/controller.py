"""What every simulated firmware offers to the line it hangs on."""

from __future__ import annotations

from typing import Protocol

from usbshare.sim.record import Record


class Controller(Protocol):
    """A firmware without its own clock; times are seconds and never go back."""

    @property
    def record(self) -> Record:
        """What it has received, burnt and lost."""
        ...

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes off the line; what they cause is sent by the next `advance`."""

    def advance(self, now_s: float) -> bytes:
        """Live until `now_s` and return what was sent since the last call."""
        ...

    def next_event_s(self) -> float | None:
        """Return when `advance` is due; None while only received bytes could change anything."""
        ...

    def hard_reset(self, now_s: float) -> None:
        """Pull the reset pin, as a rising DTR does on most boards."""
