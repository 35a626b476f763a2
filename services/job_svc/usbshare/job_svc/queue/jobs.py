"""Every job of the host and its state machine; pure.

A job starts when a person starts it, or when the previous one was started with `auto_advance` and
has finished; a stop, an error, a fault or a restart of the service ends that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from operator import attrgetter

from usbshare.base.errors import InvalidArgumentError, LimitError, NotFoundError, WrongStateError
from usbshare.job_svc.storage.job import (
    ControlRequest,
    Job,
    JobState,
    Person,
    Progress,
    StoredFile,
)

MOST_QUEUED = 200  # of one port
MOST_CONTROL_REQUESTS = 8  # of one job; the oldest are forgotten
MOST_ENDED = 1000  # of all; the oldest are forgotten
INTERRUPTED_BY_RESTART = "the job service ended while the job ran"


class Change(Enum):
    """What happened to a job."""

    ADDED = "added"
    UPDATED = "updated"
    PROGRESS = "progress"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Order:
    """What makes a job."""

    port_id: str
    name: str
    file: StoredFile
    submitter: Person
    passes: int = 1
    priority: int = 0
    attended: bool = False
    first_line: int = 1
    request_id: str = ""


Listener = Callable[[Change, Job], None]


class Jobs:
    """The jobs by their numbers; each change is told to `listener`, which must not wait.

    What an earlier run of the service left running or held is interrupted: `take_over` says so.
    """

    def __init__(self, now: Callable[[], datetime], listener: Listener) -> None:
        self._now = now
        self._tell = listener
        self._jobs: dict[int, Job] = {}
        self._last_number = 0

    def take_over(self, jobs: Iterable[Job], last_number: int) -> None:
        """Take the jobs of an earlier run; none of them runs any more."""
        self._jobs = {each.job_id: each for each in jobs}
        self._last_number = max([last_number, *self._jobs])
        for job in [each for each in self._jobs.values() if each.state.is_active]:
            self.end(job.job_id, JobState.INTERRUPTED, INTERRUPTED_BY_RESTART)

    @property
    def all(self) -> list[Job]:
        """Every job, by number; may be asked in any thread."""
        return sorted(self._jobs.values(), key=attrgetter("job_id"))

    def get(self, job_id: int) -> Job:
        """Return a job; NotFoundError where there is none."""
        if (job := self._jobs.get(job_id)) is None:
            raise NotFoundError(f"there is no job {job_id} here")
        return job

    def find(self, job_id: int) -> Job | None:
        """Return a job, None where there is none."""
        return self._jobs.get(job_id)

    def queued(self, port_id: str) -> list[Job]:
        """Return the waiting jobs of a port, the next first."""
        waiting = [
            each
            for each in self._jobs.values()
            if each.port_id == port_id and each.state is JobState.QUEUED
        ]
        return sorted(waiting, key=lambda each: (-each.priority, each.rank, each.job_id))

    def _active(self, port_id: str) -> Job | None:
        """Return the job that has the machine of a port, None if none has."""
        found = (
            each for each in self._jobs.values() if each.port_id == port_id and each.state.is_active
        )
        return next(found, None)

    def place(self, job: Job) -> int:
        """Return the place in its queue, counted from 1 on; 0 unless it is queued."""
        queue = [each.job_id for each in self.queued(job.port_id)]
        return 1 + queue.index(job.job_id) if job.job_id in queue else 0  # it may be forgotten

    def enqueue(self, order: Order) -> tuple[Job, bool]:
        """Create a job, or return that of the same request, and whether it is new; LimitError."""
        if (known := self._same_request(order)) is not None:
            return known, False
        waiting = self.queued(order.port_id)
        if len(waiting) >= MOST_QUEUED:
            raise LimitError(
                f"{MOST_QUEUED} jobs are already waiting for port {order.port_id!r}: delete some"
            )
        self._last_number += 1
        total = Progress(
            lines=order.file.lines * order.passes,
            size_bytes=order.file.size_bytes * order.passes,
        )
        job = Job(
            job_id=self._last_number,
            port_id=order.port_id,
            name=order.name,
            file=order.file,
            submitter=order.submitter,
            enqueued=self._now(),
            passes=order.passes,
            priority=order.priority,
            attended=order.attended,
            first_line=order.first_line,
            rank=1 + max((each.rank for each in waiting), default=0),
            request_id=order.request_id,
            progress=total,
        )
        self._put(Change.ADDED, job)
        return job, True

    def require_startable(self, job_id: int) -> Job:
        """Return the job if it may be started; WrongStateError says why not."""
        job = self.get(job_id)
        if job.state is not JobState.QUEUED:
            again = "; enqueue its file again" if job.state.has_ended else ""
            raise WrongStateError(
                f"job {job_id} is {job.state.value}: only a queued job can be started{again}"
            )
        if (other := self._active(job.port_id)) is not None:
            raise WrongStateError(
                f"port {job.port_id!r} is busy with job {other.job_id} ({other.state.value}): "
                "wait for its end, or cancel it"
            )
        return job

    def start(self, job_id: int, starter: str, *, auto_advance: bool) -> Job:
        """Give the machine of its port to a job."""
        job = self.require_startable(job_id)
        return self._update(
            job,
            state=JobState.RUNNING,
            reason="",
            starter=starter,
            auto_advance=auto_advance,
            started=self._now(),
        )

    def remark(self, job_id: int, text: str) -> Job:
        """Note what a person should know of a job that has just been started."""
        return self._update(self._require(job_id, JobState.RUNNING), reason=text)

    def not_started(self, job_id: int) -> Job:
        """Put a job back that was given the machine, and of which nothing was sent."""
        job = self.get(job_id)
        if not job.state.is_active:
            return job
        return self._update(
            job, state=JobState.QUEUED, reason="", starter="", auto_advance=False, started=None
        )

    def hold(self, job_id: int, reason: str) -> Job:
        """Note that a job is held, or was held again; WrongStateError if it does not run."""
        job = self.get(job_id)
        if not job.state.is_active:
            raise WrongStateError(f"job {job_id} is {job.state.value}: it cannot be held")
        return self._update(
            job, state=JobState.HELD, reason=reason, hold_number=job.hold_number + 1
        )

    def require_resumable(self, job_id: int, hold_number: int) -> Job:
        """Return the job if that hold is its last one; WrongStateError otherwise.

        InvalidArgumentError where no hold is named.
        """
        job = self._require(job_id, JobState.HELD)
        if hold_number == 0:
            raise InvalidArgumentError("hold_number is 0: give Job.hold_number as you saw it")
        if hold_number != job.hold_number:
            raise WrongStateError(
                f"job {job_id} was held again meanwhile ({job.reason or 'no reason given'}): check "
                f"the machine, then resume hold {job.hold_number}"
            )
        return job

    def resumed(self, job_id: int) -> Job:
        """Note that a held job continues."""
        return self._update(self._require(job_id, JobState.HELD), state=JobState.RUNNING, reason="")

    def progressed(self, job_id: int, progress: Progress) -> None:
        """Note how far a running or held job is."""
        job = self._jobs.get(job_id)
        if job is not None and job.state.is_active and progress != job.progress:
            self._put(Change.PROGRESS, job.changed(progress=progress))

    def asked_for(self, job_id: int, who: str) -> None:
        """Note who asks for the port of a running or held job."""
        job = self._jobs.get(job_id)
        if job is None or not job.state.is_active:
            return
        others = [each for each in job.control_requests if each.who != who]
        latest = [*others, ControlRequest(who, self._now())][-MOST_CONTROL_REQUESTS:]
        self._update(job, control_requests=tuple(latest))

    def end(self, job_id: int, state: JobState, reason: str = "") -> Job:
        """Note the end of a job; one that has ended stays as it is."""
        job = self.get(job_id)
        if job.state.has_ended:
            return job
        ended = self._update(
            job, state=state, reason=reason, ended=self._now(), control_requests=()
        )
        self._forget_oldest()
        return ended

    def after(self, job: Job) -> Job | None:
        """Return the job that starts automatically after one, None if none may."""
        if not (job.state is JobState.FINISHED and job.auto_advance):
            return None
        waiting = self.queued(job.port_id)
        return waiting[0] if waiting and self._active(job.port_id) is None else None

    def reorder(self, job_id: int, place: int) -> list[Job]:
        """Move a queued job; returns the queue of its port."""
        job = self._require(job_id, JobState.QUEUED)
        waiting = [each for each in self.queued(job.port_id) if each.job_id != job_id]
        at = min(max(place, 1), len(waiting) + 1) - 1
        most = waiting[at - 1].priority if at > 0 else max(job.priority, *_priorities(waiting[:1]))
        least = waiting[at].priority if at < len(waiting) else min(job.priority, most)
        moved = job.changed(priority=min(max(job.priority, least), most))
        for rank, each in enumerate([*waiting[:at], moved, *waiting[at:]], 1):
            if self._jobs[each.job_id] != (ranked := each.changed(rank=rank)):
                self._put(Change.UPDATED, ranked)
        return self.queued(job.port_id)

    def delete(self, job_id: int) -> Job:
        """Delete a job and return it; WrongStateError while it runs."""
        job = self.get(job_id)
        if job.state.is_active:
            raise WrongStateError(f"job {job_id} is {job.state.value}: cancel it, then delete it")
        del self._jobs[job_id]
        self._tell(Change.REMOVED, job)
        return job

    def _same_request(self, order: Order) -> Job | None:
        if not order.request_id:
            return None
        asked = (order.request_id, order.submitter.name)
        known = (
            each for each in self._jobs.values() if (each.request_id, each.submitter.name) == asked
        )
        return next(known, None)

    def _require(self, job_id: int, state: JobState) -> Job:
        job = self.get(job_id)
        if job.state is not state:
            raise WrongStateError(f"job {job_id} is {job.state.value}, not {state.value}")
        return job

    def _update(self, job: Job, **values: object) -> Job:
        changed = job.changed(**values)
        self._put(Change.UPDATED, changed)
        return changed

    def _put(self, change: Change, job: Job) -> None:
        self._jobs[job.job_id] = job
        self._tell(change, job)

    def _forget_oldest(self) -> None:
        ended = [each for each in self._jobs.values() if each.state.has_ended]
        if len(ended) > MOST_ENDED:
            self.delete(min(each.job_id for each in ended))


def _priorities(jobs: list[Job]) -> tuple[int, ...]:
    return tuple(each.priority for each in jobs) or (-100,)
