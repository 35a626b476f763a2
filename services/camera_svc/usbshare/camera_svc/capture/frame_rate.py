"""Waits for each frame's time, where a source would deliver faster than a camera does."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Even intervals by absolute times; a late frame is followed at once, never by a burst."""

    def __init__(
        self,
        fps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_s = 1 / fps
        self._clock = clock
        self._sleep = sleep
        self._next: float | None = None

    def wait(self) -> None:
        """Return when the next frame is due; the first is at once."""
        now = self._clock()
        due = now if self._next is None else self._next
        if due > now:
            self._sleep(due - now)
        self._next = max(due, now - self._interval_s) + self._interval_s
