"""Turns to connect: of all that one program connects to a service, one attempt at a time.

Attempts that run beside one another, and are given up while they wait in a busy service's queue,
are what keeps that service busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from usbshare.base.errors import UsbshareError
from usbshare.base.watched_task import cancel_all

T = TypeVar("T")


class GaveWayError(UsbshareError):
    """Something more urgent had to connect."""


class Turns:
    """Gives turns in the order in which they were asked for."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._giving_way: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be the only one who connects; what gives way ends for it."""
        if self._giving_way is not None:
            self._giving_way.cancel()
        async with self._turn:
            yield

    async def give_way(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what connects alone; GaveWayError as soon as another wants a turn."""
        if self._turn.locked():
            work.close()
            raise GaveWayError("a connection is being made")
        async with self._turn:
            task: asyncio.Task[T] = asyncio.create_task(work, name="gives way")
            self._giving_way = task
            try:
                await asyncio.wait((task,))
                if task.cancelled():
                    raise GaveWayError("a connection had to be made")
                return task.result()
            finally:
                self._giving_way = None
                await cancel_all(task)
