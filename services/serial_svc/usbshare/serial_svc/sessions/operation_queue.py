"""What one session sent behind an operation on its line, which must be done first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from usbshare.base.errors import LimitError
from usbshare.serial_svc.sessions.client import OBSERVES, Command
from usbshare.serial_svc.sessions.events import (
    REFUSALS,
    OperationOutcome,
    OperationResult,
    refusal,
)

MOST_OPERATIONS = 256
EMPTY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Something that what came before it goes before, and that what came after it waits for."""

    run: Callable[[], Awaitable[object]]


class OperationQueue:
    """Operations and the commands behind them, carried out in order by a task of their line.

    `answer` gets the results; a session that only observes, not `is_allowed`, is refused.
    """

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        until_room: Callable[[int], Awaitable[None]],
        enqueue: Callable[[Command], None],
        on_empty: Callable[[], None],
        answer: Callable[[OperationResult], None],
        *,
        is_allowed: bool,
    ) -> None:
        self._begin = run
        self._until_room = until_room
        self._enqueue = enqueue
        self._on_empty = on_empty
        self._answer = answer
        self._is_allowed = is_allowed
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

    def later(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        """Run something on the line after the session's earlier bytes, before its later ones."""
        if self._may_operate(operation_id):
            self.append(Operation(lambda: self._perform(operation_id, run)))

    def at_once(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        """Run something on the line now, whatever is queued, before the session's later bytes.

        The reader of the session's stream does not wait for it: a faulty adapter may take 5 s.
        """
        if self._may_operate(operation_id):
            done = self._begin(self._perform(operation_id, run), "operation")
            self.append(Operation(lambda: asyncio.wait([done])))

    def flush(self, operation_id: int, run: Callable[[], Awaitable[None] | None]) -> None:
        """Empty buffers now; what comes later is not meant, and waits where that takes time."""
        if not self._may_operate(operation_id):
            return
        try:
            emptying = run()
        except REFUSALS as error:
            self._answer(refusal(operation_id, error))
            return
        if emptying is None:
            self._answer(OperationResult(operation_id, OperationOutcome.OK))
            return
        done = self._begin(
            self._perform(operation_id, partial(_emptied, operation_id, emptying)), "flush"
        )
        self.append(Operation(lambda: asyncio.wait([done])))

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

    def _may_operate(self, operation_id: int) -> bool:
        if self.operations >= MOST_OPERATIONS:
            raise LimitError(f"more than {MOST_OPERATIONS} requests are waiting for the line")
        if self._is_allowed:
            return True
        self._answer(OperationResult(operation_id, OperationOutcome.ERROR, OBSERVES))
        return False

    async def _perform(
        self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]
    ) -> None:
        try:
            self._answer(await run())
        except REFUSALS as error:
            self._answer(refusal(operation_id, error))

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


async def _emptied(operation_id: int, emptying: Awaitable[None]) -> OperationResult:
    future = asyncio.ensure_future(emptying)
    await asyncio.wait([future], timeout=EMPTY_TIMEOUT_S)
    if not future.done():
        why = f"the device has not emptied its buffer within {EMPTY_TIMEOUT_S:g} s"
        return OperationResult(operation_id, OperationOutcome.TIMEOUT, why)
    future.result()
    return OperationResult(operation_id, OperationOutcome.OK)
