"""When a host was heard last, and whether it has been silent for longer than a link may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from usbshare.base.watched_task import cancel_all

T = TypeVar("T")
# As long as a session in control may be silent, unless its port is set otherwise.
SILENT_S = 2.0
# Who was not asked for longer than that has this long to answer.
LEAST_ANSWER_S = 1.0


class Silence:
    """Follows one host; `since` is when it was heard last (UTC), None before it was."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.since: datetime | None = None
        self._clock = clock
        self._heard_at = 0.0

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard_at, self.since = self._clock(), datetime.now(UTC)

    async def told(self, asking: Coroutine[Any, Any, T], tell: Callable[[], None]) -> T:
        """Return the answer, however long that takes; `tell` once if the host is silent."""
        asked_at = self._clock()
        task = asyncio.create_task(asking, name="ask a host")
        try:
            while not task.done():
                if (left_s := self._late_at(asked_at) - self._clock()) <= 0:
                    tell()
                    break
                await asyncio.wait((task,), timeout=left_s)
            return await task
        finally:
            await cancel_all(task)

    def _late_at(self, asked_at: float) -> float:
        if self.since is None:  # the first answer comes after the connection
            return asked_at + SILENT_S
        return max(self._heard_at + SILENT_S, asked_at + LEAST_ANSWER_S)


def silent(since: datetime | None) -> str:
    """Return that nothing was heard since then, and that what follows is of then; "" for None."""
    return "" if since is None else f": nothing heard since {_moment(since)}; as it was then:"


def last_heard(since: datetime | None) -> str:
    """Return when a host that fails was heard last; "" for None."""
    return "" if since is None else f"; last heard {_moment(since)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
