"""A call that is made a while after it was asked for, once however often that was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Delayed:
    """Calls back `delay_s` after the first of several askings; of the running loop."""

    def __init__(self, call: Callable[[], None], delay_s: float) -> None:
        self._call = call
        self._delay_s = delay_s
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """See that the call is made."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._delay_s, self._make)

    def cancel(self) -> None:
        """Make no call for what was asked so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make(self) -> None:
        self._timer = None
        self._call()
