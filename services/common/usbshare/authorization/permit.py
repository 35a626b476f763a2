"""Being allowed for as long as something lasts: the body ends when the right does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType

from usbshare.base.errors import UsbshareError

# Raises why not; returns when the answer may change without a change of the rules.
Check = Callable[[], datetime | None]


class Permits:
    """Every permit in use, asked again when the rules or the time may have changed an answer."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._permits: dict[Permit, None] = {}

    def __len__(self) -> int:
        return len(self._permits)

    def rules_changed(self) -> None:
        """Ask about all again."""
        self._ask_again(tuple(self._permits))

    def time_passed(self) -> None:
        """Check those again that may have ended automatically."""
        now = self._now()
        self._ask_again([each for each in self._permits if each.is_due(now)])

    def _ask_again(self, permits: Sequence[Permit]) -> None:
        """Check permits; of a task with several, refuse the innermost now, the others later."""
        told = {each.task for each in self._permits if each.is_refused}
        for permit in reversed(permits):
            if permit.task in told:
                permit.until = self._now()
            elif not permit.ask_again():
                told.add(permit.task)

    def add(self, permit: Permit) -> None:
        """Take a permit up whose body begins."""
        self._permits[permit] = None

    def remove(self, permit: Permit) -> None:
        """Remove a permit whose body has ended."""
        self._permits.pop(permit, None)


class Permit:
    """Works like `asyncio.timeout()`: cancels the body when the right is gone, then raises why."""

    def __init__(self, permits: Permits, enter: Check, stay: Check) -> None:
        self._permits = permits
        self._enter = enter
        self._stay = stay
        self._refusal: UsbshareError | None = None
        self._cancelling = 0
        self._task: asyncio.Task[object] | None = None
        self.until: datetime | None = None

    @property
    def task(self) -> asyncio.Task[object]:
        """The task that runs the body."""
        if self._task is None:
            raise RuntimeError("the permit is not in use")
        return self._task

    @property
    def is_refused(self) -> bool:
        """Whether its body is being cancelled."""
        return self._refusal is not None

    def is_due(self, now: datetime) -> bool:
        """Return whether time alone may have changed the answer."""
        return self.until is not None and now >= self.until

    def ask_again(self) -> bool:
        """Ask again; False, and the body is cancelled, if it is not allowed any more."""
        if self._refusal is not None:
            return False
        try:
            self.until = self._stay()
        except UsbshareError as error:
            self._refusal = error
            self.task.cancel()
            return False
        return True

    async def __aenter__(self) -> Permit:
        self.until = self._enter()
        self._task = asyncio.current_task()
        self._cancelling = self.task.cancelling()
        self._permits.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._permits.remove(self)
        if self._refusal is None:
            return
        was_ours = self.task.uncancel() <= self._cancelling
        if was_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise self._refusal from error
