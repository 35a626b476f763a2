"""One timer that runs a simulation on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# An adapter's own polling; spares the loop a wake-up for every block and every few bytes.
TICK_S = 0.001

Clock = Callable[[], float]


class Ticker:
    """Calls `work` whenever it is due; `work` takes the time and returns when it is due next."""

    def __init__(self, work: Callable[[float], float | None], clock: Clock | None = None) -> None:
        self._work = work
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due_s = 0.0

    def start(self) -> None:
        """Begin on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.arm(self.now_s())

    def stop(self) -> None:
        """Stop calling `work`."""
        self._disarm()
        self._loop = None

    def now_s(self) -> float:
        """Return the simulation's time."""
        clock = self._clock or asyncio.get_running_loop().time
        return clock()

    def arm(self, due_s: float | None) -> None:
        """Call `work` at a time, or earlier if that was requested before; None requests nothing."""
        if due_s is None or self._loop is None:
            return
        if self._handle is not None and self._handle_due_s <= due_s:
            return
        self._disarm()
        self._handle_due_s = due_s
        delay_s = max(due_s - self.now_s(), TICK_S)
        self._handle = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._handle = None
        self.arm(self._work(self.now_s()))

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
