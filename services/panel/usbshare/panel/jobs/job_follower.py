"""Follows the job service of one host: the jobs that wait, run or are held.

Only while there is a page: whoever watches the jobs of a port counts as the person that an attended
job needs, and a panel that nobody looks at is none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from usbshare.panel.board import JOBS, Board
from usbshare.panel.following import proven
from usbshare.panel.seen import SeenJob
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

Pack = Callable[[str, SeenJob], str]


class Calls(Protocol):
    """The calls to a job service that are needed here."""

    async def connect(self) -> None:
        """Connect, or raise why that fails."""

    def seen_jobs(self) -> AsyncGenerator[SeenJob, None]:
        """Yield jobs as they change."""
        ...

    async def close(self) -> None:
        """Disconnect."""


Connect = Callable[[Target, ClientBundle | None], Calls]


class JobFollower:
    """One host's; `place` is where its service answers, None before.

    `calls` is the connection, None while there is none.
    """

    def __init__(
        self,
        host: str,
        connect: Connect,
        board: Board,
        pack: Pack,
        connected: Callable[[Target], None],
    ) -> None:
        self.calls: Calls | None = None
        self.place: tuple[Target, ClientBundle | None] | None = None
        self._host = host
        self._connect = connect
        self._board = board
        self._pack = pack
        self._connected = connected
        self._shown: dict[int, SeenJob] = {}

    async def run_once(self, targets: Sequence[Target], bundle: ClientBundle | None) -> None:
        """Follow the jobs for as long as the service answers; raises UsbshareError."""
        target = await proven(targets, bundle)
        calls = self._connect(target, bundle)
        try:
            await calls.connect()
            self.place, self.calls = (target, bundle), calls
            self._connected(target)
            while await self._followed(calls):
                pass
        finally:
            self.calls = None
            await calls.close()

    async def _followed(self, calls: Calls) -> bool:
        """Show jobs until there are no pages; returns whether the service still tells of them."""
        await self._board.watched.wait()
        self.clear()
        async with aclosing(calls.seen_jobs()) as jobs:
            async for job in jobs:  # one that runs is told of ten times a second
                if not self._board.watched.is_set():
                    self.clear()
                    return True
                self._show(job)
        return False

    def clear(self) -> None:
        """Remove all jobs."""
        for job in list(self._shown.values()):
            self._remove(job)

    def _show(self, job: SeenJob) -> None:
        if job.has_ended:
            self._remove(job)
            return
        self._shown[job.id] = job
        self._board.put(JOBS, self._key(job), self._pack(self._host, job))

    def _remove(self, job: SeenJob) -> None:
        self._shown.pop(job.id, None)
        self._board.remove(JOBS, self._key(job), self._pack(self._host, job))

    def _key(self, job: SeenJob) -> tuple[str, ...]:
        return (self._host, f"{job.id:020}")
