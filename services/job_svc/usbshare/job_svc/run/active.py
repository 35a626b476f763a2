"""A job that has its machine, and what its run tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from usbshare.client.serial.line_stream import LineStream
from usbshare.job_svc.run.bed import Standing
from usbshare.job_svc.run.job_run import JobRun
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.storage.job import Job, JobState, Progress
from usbshare.rpc.identity import Identity


@dataclass
class Active:
    """A job that has its machine: its run, its stream, and whose rights it needs."""

    job: Job
    run: JobRun
    stream: LineStream
    exits: AsyncExitStack
    starter: Identity
    standing: Standing | None = None
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    watches: list[asyncio.Task[None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def runs_in(self, task: asyncio.Task[None]) -> None:
        """Note what runs it."""
        self.task = task

    def needs_rights_of(self, starter: Identity, watches: list[asyncio.Task[None]]) -> None:
        """Note whose job it is now, and what watches their rights in place of what did before."""
        self.watch_no_longer()
        self.starter, self.watches = starter, watches

    def watch_no_longer(self) -> None:
        """End what watches their rights, but for the task that asks for that."""
        current = asyncio.current_task()
        for watch in self.watches:
            if watch is not current:
                watch.cancel()


class Told:
    """Takes what a run tells to the spool."""

    def __init__(self, spool: Spool, job_id: int, goes_on: Callable[[Active], None]) -> None:
        self._spool = spool
        self._job_id = job_id
        self._goes_on = goes_on
        self._active: Active | None = None

    def of(self, active: Active) -> None:
        """Note what has the machine."""
        self._active = active

    def held(self, reason: str) -> None:
        """Note that the job is held, or was held again."""
        self._spool.jobs.hold(self._job_id, reason)

    def goes_on(self) -> None:
        """Note that a held job runs again."""
        if self._spool.jobs.get(self._job_id).state is JobState.HELD:
            self._spool.jobs.resumed(self._job_id)
        if self._active is not None:
            self._active.goes_on.set()
            self._goes_on(self._active)

    def progressed(self, progress: Progress) -> None:
        """Note how far it is."""
        self._spool.jobs.progressed(self._job_id, progress)

    def asked_for(self, who: str) -> None:
        """Note who would like to have its port."""
        self._spool.jobs.asked_for(self._job_id, who)
