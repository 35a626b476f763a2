"""Whether a machine may be at work: program bytes were written since it was known to be idle.

Only GRBL says that it is idle, in its status reports (github.com/gnea/grbl/wiki, Grbl v1.1
Interface, real-time status reports). Any other firmware is at work from its first program byte on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# A report that crossed with a command says nothing about it.
SETTLED_S = 0.25
_REPORT = re.compile(rb"<(Idle|Alarm|Check|Sleep)[|,:>]")
_LONGEST_START = 8


class Activity:
    """Follows one device; `is_active` may be read at any time, `on_change` is told of changes."""

    def __init__(self, clock: Callable[[], float], on_change: Callable[[bool], None]) -> None:
        self.is_active = False
        self._clock = clock
        self._on_change = on_change
        self._written_at = float("-inf")
        self._tail = b""
        self._tail_at = 0.0

    def wrote(self, now: float) -> None:
        """Note program bytes that were handed to the device."""
        self._written_at = now
        if not self.is_active:
            self._change(active=True)

    def heard(self, data: bytes, now: float, *, nothing_waits: bool) -> None:
        """Look for a report that says idle; split over chunks anyhow."""
        if not self.is_active:
            return
        begun_at = self._tail_at if self._tail else now
        text = self._tail + data
        if self._settled(text, begun_at) and nothing_waits:
            self._change(active=False)
        start = text.rfind(b"<", -_LONGEST_START)
        if start < 0:
            self._tail = b""
        elif not self._tail or start > 0:
            self._tail, self._tail_at = text[start:], now
        else:
            self._tail = text[start:]

    def stopped(self) -> None:
        """Note that the machine was stopped, or is gone."""
        if self.is_active:
            self._change(active=False)

    def _settled(self, text: bytes, begun_at: float) -> bool:
        return begun_at - self._written_at >= SETTLED_S and _REPORT.search(text) is not None

    def _change(self, *, active: bool) -> None:
        self.is_active = active
        self._tail = b""
        self._on_change(active)
