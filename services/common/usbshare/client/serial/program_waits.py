"""How long a program's bytes wait in the client until they are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.base.time_stats import TimeStats


class ProgramWaits:
    """Counts one time a message that is sent, that of its oldest byte.

    What is dropped, or sent again after a loss, counts for none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.stats = TimeStats()
        self.passed = self.stats.add_none  # notes at a moment bytes that waited for nothing
        self._clock = clock
        self._waiting: deque[list[float]] = deque()  # size and since when, of what came at once

    def came(self, size: int) -> None:
        """Note bytes that wait from now on."""
        self._waiting.append([size, self._clock()])

    def left(self, size: int, now: float) -> None:
        """Note bytes that are sent, the oldest first."""
        if not self._waiting:
            return
        self.stats.add(max(0.0, now - self._waiting[0][1]), now)
        left: float = size
        while self._waiting and left > 0:
            oldest = self._waiting[0]
            taken = min(left, oldest[0])
            oldest[0] -= taken
            left -= taken
            if not oldest[0]:
                self._waiting.popleft()

    def clear(self) -> None:
        """Forget what waits: it is dropped, or will be sent again."""
        self._waiting.clear()
