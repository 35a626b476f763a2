"""How late the event loop runs when it is due; everything that it serves waits as long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from usbshare.base.time_stats import TimeStats, TimeSummary

LOOK_S = 0.25


class Lateness:
    """Measures the event loop that `run` runs on, four times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.stats = TimeStats()
        self._clock = clock

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_at = self._clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now = self._clock()
            self.stats.add(max(0.0, now - due_at), now)

    def summary(self) -> TimeSummary:
        """Return the distribution of how late it was, in seconds."""
        return self.stats.summary(self._clock())
