"""Notices a device that accepts nothing for too long while bytes wait to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Stall:
    """Calls `on_stalled` once a device has been stalled for `timeout_s`; 0: never.

    A device is stalled if it refuses bytes, or if bytes stay in its driver, `since` a time; None:
    it is not. A running timer is kept and checks again, so that noting progress costs nothing.
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
        """Note that the device accepted less than it was offered."""
        self._unsent = None
        self._begin(now)

    def took(self) -> None:
        """Note that it accepted bytes; a driver's buffer accepts some for a dead device too."""
        if self._unsent is None:
            self.since = None

    def waits(self, unsent: int, now: float) -> None:
        """Note that bytes wait for those that the driver keeps."""
        if self._unsent is not None and unsent < self._unsent:
            self.since = None
        self._unsent = unsent
        self._begin(now)

    def goes_on(self) -> None:
        """Note that the bytes in the driver have left."""
        if self._unsent is not None:
            self.rests()

    def rests(self) -> None:
        """Note that nothing waits to be written."""
        self.since = self._unsent = None

    def end(self) -> None:
        """Stop watching."""
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
