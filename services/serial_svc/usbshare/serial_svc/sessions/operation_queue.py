"""What one session sent behind an operation on its line, which must be done first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from usbshare.serial_svc.sessions.client import Command


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Something that what came before it goes before, and that what came after it waits for."""

    run: Callable[[], Awaitable[object]]


class OperationQueue:
    """Operations and the commands behind them, carried out in order by a task of their port."""

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        until_room: Callable[[int], Awaitable[None]],
        enqueue: Callable[[Command], None],
        on_empty: Callable[[], None],
    ) -> None:
        self._begin = run
        self._until_room = until_room
        self._enqueue = enqueue
        self._on_empty = on_empty
        self.items: deque[Command | Operation] = deque()
        self._runner: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def commands(self) -> list[Command]:
        """The commands that wait."""
        return [item for item in self.items if isinstance(item, Command)]

    @property
    def operations(self) -> int:
        """How many operations wait or are under way."""
        return len(self.items) - len(self.commands)

    def append(self, item: Command | Operation) -> None:
        """Add something that comes after all that is here."""
        self.items.append(item)
        if self._runner is None or self._runner.done():
            self._runner = self._begin(self._run(), "held")

    def drop_commands(self) -> list[Command]:
        """Drop the commands and return them; operations stay."""
        dropped = self.commands
        self.items = deque(item for item in self.items if isinstance(item, Operation))
        return dropped

    def end(self) -> None:
        """Drop everything."""
        if self._runner is not None:
            self._runner.cancel()
        self.items.clear()

    async def _run(self) -> None:
        while self.items:
            item = self.items[0]
            if isinstance(item, Operation):
                await item.run()
            else:
                await self._until_room(len(item.data))
            if self.items and self.items[0] is item:
                self.items.popleft()
                if isinstance(item, Command):
                    self._enqueue(item)
        self._on_empty()
