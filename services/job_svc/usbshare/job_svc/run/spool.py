"""The jobs with all that follows their changes: the record, the files, and who watches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from usbshare.base.errors import DeviceError
from usbshare.job_svc.queue.jobs import Change, Jobs, Order
from usbshare.job_svc.queue.watch import Watches
from usbshare.job_svc.storage.file_thread import Files
from usbshare.job_svc.storage.files import FileStore
from usbshare.job_svc.storage.job import Job, JobState
from usbshare.job_svc.storage.notes import JobNotes

KEEP_TIMEOUT_S = 5.0


class Spool:
    """What the host keeps: `jobs` says what is so, the rest follows it."""

    def __init__(self, store: FileStore, notes: JobNotes, now: Callable[[], datetime]) -> None:
        self.jobs = Jobs(now, self._changed)
        self.files = Files(store, self._needed_files)
        self.watches = Watches()
        self.notes = notes

    async def enqueue(self, order: Order) -> tuple[Job, bool]:
        """Create a job; return it once it is on the disk, and whether it is new.

        Raises DeviceError.
        """
        job, is_new = self.jobs.enqueue(order)
        if not await self.notes.kept(job.job_id, KEEP_TIMEOUT_S):
            if is_new and self.jobs.find(job.job_id) is job:
                self.jobs.delete(job.job_id)
            why = self.notes.trouble or f"nothing was written for {KEEP_TIMEOUT_S:g} s"
            raise DeviceError(f"the job cannot be stored on this host: {why}")
        return self.jobs.get(job.job_id), is_new

    async def require_kept(self, job_id: int) -> None:
        """Return once a job is on the disk as it is now; raises DeviceError if that takes long."""
        if not await self.notes.kept(job_id, KEEP_TIMEOUT_S):
            why = self.notes.trouble or f"nothing was written for {KEEP_TIMEOUT_S:g} s"
            raise DeviceError(f"the state of job {job_id} cannot be recorded on this host: {why}")

    def port_of(self, job_id: int) -> str | None:
        """Return the port of a job, None where there is no such job."""
        job = self.jobs.find(job_id)
        return None if job is None else job.port_id

    def delete(self, job_id: int) -> Job:
        """Forget a job that does not run, and its file if no other needs it."""
        return self.jobs.delete(job_id)

    def history(self, sees: Callable[[str], bool], before: int, most: int) -> list[Job]:
        """Return jobs that have ended, the latest first, with numbers below `before` if given."""
        ended = [
            each
            for each in reversed(self.jobs.all)
            if each.state.has_ended and (not before or each.job_id < before) and sees(each.port_id)
        ]
        return ended[:most]

    def interrupt_all(self, reason: str) -> None:
        """Note that what runs does not go on, as the service ends."""
        for job in [each for each in self.jobs.all if each.state.is_active]:
            self.jobs.end(job.job_id, JobState.INTERRUPTED, reason)

    def _needed_files(self) -> set[str]:
        """Return the SHA-256 of each file that a job needs; called in any thread."""
        return {each.file.sha256 for each in self.jobs.all}

    def _changed(self, change: Change, job: Job) -> None:
        if change is Change.REMOVED:
            self.notes.removed(job.job_id)
            self.files.remove(job.file.sha256)
        elif change is Change.PROGRESS:
            self.notes.progressed(job)
        else:
            self.notes.changed(job)
        self.watches.tell(change, job)
