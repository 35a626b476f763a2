"""The state of a serial line on its way to the computer, one notification at a time."""

from __future__ import annotations

from usbshare.usbip.cdc import SerialState

_LEVELS = SerialState.DCD | SerialState.DSR | SerialState.RING
EVENTS = SerialState.BREAK | SerialState.FRAMING | SerialState.PARITY | SerialState.OVERRUN
_NOTHING = SerialState(0)


class Notices:
    """Says what is to be told next; an event is told once, and then that it is over.

    Linux's cdc_acm compares with what it was told before, and begins with nothing asserted.
    """

    def __init__(self) -> None:
        self._levels = self._events = self._told = _NOTHING

    def show(self, levels: SerialState) -> None:
        """Note the levels."""
        self._levels = levels & _LEVELS

    def happened(self, events: SerialState) -> None:
        """Add events."""
        self._events |= events & EVENTS

    def take(self) -> SerialState | None:
        """Return what is to be told now; None if it is known."""
        wanted = self._levels | self._events
        if wanted == self._told:
            return None
        self._told, self._events = wanted, _NOTHING
        return wanted
