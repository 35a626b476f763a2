"""Jobs that are being started: one for each port, which can be called off until it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from usbshare.base.errors import WrongStateError
from usbshare.base.waits import set_within


@dataclass(slots=True)
class _Start:
    job_id: int
    scope: asyncio.Timeout
    called_off: str = ""
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)

    def call_off(self, why: str) -> None:
        """Give it up; the first reason stays."""
        self.called_off = self.called_off or why
        if not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time())

    def require_wanted(self) -> None:
        if self.called_off:
            raise WrongStateError(f"job {self.job_id} does not start: {self.called_off}")


class Starting:
    """Gives the turns to start a job."""

    def __init__(self) -> None:
        self._starts: dict[str, _Start] = {}

    @asynccontextmanager
    async def turn(self, job_id: int, port_id: str) -> AsyncIterator[_Start]:
        """Hold the port's turn to start; WrongStateError where it is taken, or is called off."""
        if port_id in self._starts:
            raise WrongStateError(f"another job is being started on port {port_id!r}")
        start = self._starts[port_id] = _Start(job_id, asyncio.timeout(None))
        try:
            async with start.scope:
                yield start
        except TimeoutError:
            start.require_wanted()
            raise
        finally:
            del self._starts[port_id]
            start.has_ended.set()

    async def call_off(self, job_id: int, port_id: str, why: str, timeout_s: float) -> bool:
        """End the start of a job before anything moves; returns whether it was being started.

        Raises WrongStateError where the start does not end in time; it ends all the same.
        """
        start = self._starts.get(port_id)
        if start is None or start.job_id != job_id:
            return False
        start.call_off(why)
        if not await set_within(start.has_ended, timeout_s):
            raise WrongStateError(f"the start of job {job_id} is being called off")
        return True

    async def call_off_all(self, why: str, timeout_s: float) -> None:
        """End every start before anything moves; returns once they have ended, or in time."""
        starts = list(self._starts.values())
        for start in starts:
            start.call_off(why)
        await asyncio.gather(*(set_within(start.has_ended, timeout_s) for start in starts))
