"""How long the other side of a link has said nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOKS = 4


class Silence:
    """Measures the silence of the other side, in seconds.

    Time in which this side did not listen does not count: its event loop stood still, or it was
    `busy`. That is this side's own delay.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._heard_at = clock()
        self.is_busy = False

    def heard(self) -> None:
        """Note that something came."""
        self._heard_at = self._clock()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Do not count the time of the block, in which nothing is read; its end bounds it."""
        self.is_busy = True
        try:
            yield
        finally:
            self.is_busy = False
            self.heard()

    async def too_long(self) -> float:
        """Wait until the other side has been silent for longer than the limit.

        Return how many seconds.
        """
        step_s = self._limit_s / _LOOKS
        while (silent_s := self._clock() - self._heard_at) < self._limit_s:
            began_at, wait_s = self._clock(), min(step_s, self._limit_s - silent_s)
            await asyncio.sleep(wait_s)
            late_s = self._clock() - began_at - wait_s
            if self.is_busy:
                self.heard()
            elif late_s > step_s:
                # What came meanwhile may have been heard just now.
                self._heard_at = min(self._heard_at + late_s, self._clock())
        return silent_s
