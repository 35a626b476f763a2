"""Notices a device that takes nothing for too long, though something waits to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Stall:
    """Calls `on_stalled` once a device has been stalled for `timeout_s`; 0: never.

    A device stands still by refusing bytes, or by letting what its driver keeps lie there, `since`
    then; None: it does not. A timer that runs is left to run and looks again, so that to note
    progress costs nothing.
    """

    def __init__(
        self, timeout_s: float, clock: Callable[[], float], on_stalled: Callable[[], None]
    ) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_stalled = on_stalled
        self.since: float | None = None
        self._unsent: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def refused(self, now: float) -> None:
        """Note that the device took less than it was offered."""
        self._unsent = None
        self._begin(now)

    def took(self) -> None:
        """Note that it took bytes; what a driver keeps takes some from a dead device too."""
        if self._unsent is None:
            self.since = None

    def waits(self, unsent: int, now: float) -> None:
        """Note that bytes wait for those that the driver keeps."""
        if self._unsent is not None and unsent < self._unsent:
            self.since = None
        self._unsent = unsent
        self._begin(now)

    def goes_on(self) -> None:
        """Note that what the driver kept has left."""
        if self._unsent is not None:
            self.rests()

    def rests(self) -> None:
        """Note that nothing waits to be written."""
        self.since = self._unsent = None

    def end(self) -> None:
        """Watch no more."""
        self.rests()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, now: float) -> None:
        if self.since is None:
            self.since = now
        if self._timer is None and self._timeout_s > 0:
            self._look_in(self._timeout_s)

    def _look_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.since is None:
            return
        left_s = self.since + self._timeout_s - self._clock()
        if left_s > 0:
            self._look_in(left_s)
        else:
            self.since = None
            self._on_stalled()
