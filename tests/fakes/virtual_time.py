"""An event loop whose time passes only while it is idle."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
GRAIN_S = 0.001


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers fire in order, with a grain of 1 ms as on a real loop; no real descriptor.

    A larger grain is a computer that is busy with other things.
    """

    def __init__(self, grain_s: float = GRAIN_S) -> None:
        self._grain_s = grain_s
        self._now = 1000.0
        super().__init__(_Selector(self))
        self._clock_resolution = 1e-9  # timers are due at their time

    def time(self) -> float:
        """Return the virtual time."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a whole number of grains."""
        grains = -(-(seconds - 1e-9) // self._grain_s)
        self._now += max(1.0, grains) * self._grain_s


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("nothing will ever happen")
        if not ready and timeout:
            self._loop.pass_time(timeout)
        return ready


@contextmanager
def _loop(grain_s: float) -> Iterator[VirtualLoop]:
    loop = VirtualLoop(grain_s)
    try:
        yield loop
    finally:
        loop.close()


def run_in_virtual_time(work: Coroutine[Any, Any, T], grain_s: float = GRAIN_S) -> T:
    """Run to the end, however long it takes by the loop's time."""
    with _loop(grain_s) as loop:
        return loop.run_until_complete(work)
