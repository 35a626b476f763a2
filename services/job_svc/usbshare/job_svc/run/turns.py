"""Turns for work that keeps a core busy; urgent work does not wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Admits one task at a time, in order; `hurry` admits one at once, beside the current one."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[Hashable, asyncio.Future[bool]] = OrderedDict()
        self._hurried: set[Hashable] = set()

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for a turn; a key waits once at a time."""
        has_turn = False
        try:
            has_turn = await self._admitted(key)
            yield
        finally:
            self._hurried.discard(key)
            if has_turn:
                self._pass_on()

    def hurry(self, key: Hashable) -> None:
        """Admit the task that waits with this key, or that is about to ask for a turn."""
        self._hurried.add(key)
        if (waiting := self._waiting.pop(key, None)) is not None and not waiting.done():
            waiting.set_result(False)

    async def _admitted(self, key: Hashable) -> bool:
        """Return once the caller may continue: True with the turn, False beside its holder."""
        if not self._is_taken:
            self._is_taken = True
            return True
        if key in self._hurried:
            return False
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiting
        try:
            return await waiting
        except asyncio.CancelledError:
            if self._waiting.get(key) is waiting:
                del self._waiting[key]
            if waiting.done() and not waiting.cancelled() and waiting.result():
                self._pass_on()  # it was given to somebody who is not there any more
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            _, waiting = self._waiting.popitem(last=False)
            if not waiting.done():
                waiting.set_result(True)
                return
        self._is_taken = False
