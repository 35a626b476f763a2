"""A job and its file, as they are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any


class JobState(Enum):
    """Where a job is in its life; the value is its name in the database and in texts."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_active(self) -> bool:
        """Whether the job has the machine of its port."""
        return self in {JobState.RUNNING, JobState.HELD}

    @property
    def has_ended(self) -> bool:
        """Whether the job belongs to the history."""
        return self is not JobState.QUEUED and not self.is_active


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A whole file; `sha256` in hexadecimal digits."""

    sha256: str
    size_bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, over all passes; `remaining_s` None where nobody can tell."""

    lines: int = 0
    size_bytes: int = 0
    sent_lines: int = 0
    sent_bytes: int = 0
    acknowledged_lines: int = 0
    acknowledged_bytes: int = 0
    executed_lines: int = 0
    run: int = 0  # the pass that is under way, counted from 1 on
    elapsed_s: float = 0.0
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """An identity, and the certificate that it showed, by which a revocation is recognised."""

    name: str
    issued: datetime | None = None
    serial: int = 0


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """Who asks for the port of a job, and when they last asked."""

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A program and its run; `rank` orders jobs of one priority in their queue.

    `control_requests` are of this run and are not kept.
    """

    job_id: int
    port_id: str
    name: str
    file: StoredFile
    submitter: Person
    enqueued: datetime
    state: JobState = JobState.QUEUED
    reason: str = ""
    passes: int = 1
    priority: int = 0
    attended: bool = False
    first_line: int = 1
    rank: int = 0
    request_id: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    starter: str = ""
    auto_advance: bool = False
    hold_number: int = 0
    progress: Progress = field(default_factory=Progress)
    control_requests: tuple[ControlRequest, ...] = ()

    def changed(self, **values: Any) -> Job:
        """Return the job with other values."""
        return replace(self, **values)


def as_record(job: Job) -> dict[str, Any]:
    """Return a job as JSON takes it."""
    record = asdict(job)
    del record["control_requests"]
    record["state"] = job.state.value
    for key in ("enqueued", "started", "ended"):
        record[key] = _text_of(record[key])
    record["submitter"]["issued"] = _text_of(job.submitter.issued)
    return record


def from_record(record: dict[str, Any]) -> Job:
    """Return the job of a record; raises ValueError, KeyError or TypeError where it is none."""
    found = dict(record)
    found["state"] = JobState(found["state"])
    found["file"] = StoredFile(**found["file"])
    found["progress"] = Progress(**found["progress"])
    person = dict(found["submitter"])
    found["submitter"] = Person(person["name"], _moment_of(person["issued"]), person["serial"])
    for key in ("enqueued", "started", "ended"):
        found[key] = _moment_of(found[key])
    return Job(**found)


def _text_of(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
