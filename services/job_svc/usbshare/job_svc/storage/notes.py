"""Writes the record of the jobs in a thread, so that nothing waits for the disk.

Of each job the newest state is written; progress alone only every now and then, so that a job that
runs for hours costs a disk a write a second at most.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from usbshare.base.background_writer import Background
from usbshare.job_svc.storage.database import JobDatabase
from usbshare.job_svc.storage.job import Job

PROGRESS_EVERY_S = 1.0


class JobNotes:
    """Writes jobs in the thread of the database."""

    def __init__(
        self, database: JobDatabase, background: Background, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._background = background
        self._clock = clock
        self._written_at: dict[int, float] = {}

    @property
    def trouble(self) -> str:
        """Why nothing can be written at present; empty if it can."""
        return self._background.trouble

    def changed(self, job: Job) -> None:
        """Have a job written as it is."""
        self._written_at[job.job_id] = self._clock()
        self._background.put(_key(job.job_id), partial(self._database.save, job))

    def progressed(self, job: Job) -> None:
        """Have the progress of a job written, unless it was a moment ago."""
        if self._clock() - self._written_at.get(job.job_id, -PROGRESS_EVERY_S) >= PROGRESS_EVERY_S:
            self.changed(job)

    def removed(self, job_id: int) -> None:
        """Have a job forgotten."""
        self._written_at.pop(job_id, None)
        self._background.put(_key(job_id), partial(self._database.delete, job_id))

    async def kept(self, job_id: int, timeout_s: float) -> bool:
        """Wait until a job's latest state is on the disk; False if that takes too long."""
        return await self._background.kept(_key(job_id), timeout_s)


def _key(job_id: int) -> str:
    return f"job {job_id}"
