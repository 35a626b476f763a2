"""Jobs as the job service tells of them, free of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

# States of jobs as job.proto calls them, in words.
QUEUED, RUNNING, HELD, FINISHED = "queued", "running", "held", "finished"
ENDED = frozenset({FINISHED, "cancelled", "failed", "interrupted"})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that the host keeps; `sha256` in hexadecimal digits."""

    sha256: str
    size_bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is, over all passes; `remaining_s` None if unknown."""

    lines: int = 0
    size_bytes: int = 0
    sent_lines: int = 0
    sent_bytes: int = 0
    acknowledged_lines: int = 0
    acknowledged_bytes: int = 0
    executed_lines: int = 0
    run: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """Who asks for the port of a job, and when they last asked, in UTC."""

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job; times are UTC, None before they came. `place` is 0 unless it is queued."""

    id: int
    port_id: str
    name: str
    file: RemoteFile
    submitter: str
    starter: str
    state: str
    reason: str
    passes: int
    priority: int
    attended: bool
    first_line: int
    place: int
    auto_advance: bool
    hold_number: int
    enqueued: datetime
    started: datetime | None
    ended: datetime | None
    progress: JobProgress
    control_requests: tuple[ControlRequest, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobView:
    """The jobs that have not ended; `troubles`: what is wrong with the job service, for people."""

    jobs: tuple[RemoteJob, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What makes a job of a file; `request_id` lets it be asked for again without a second job."""

    port_id: str
    sha256: str
    name: str
    passes: int = 1
    priority: int = 0
    attended: bool = False
    first_line: int = 1
    request_id: str = ""
