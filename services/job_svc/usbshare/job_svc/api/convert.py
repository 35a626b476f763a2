"""Jobs as messages, and requests as values."""

from __future__ import annotations

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.terminal_safe_text import clean_text
from usbshare.job.v1 import job_pb2 as pb
from usbshare.job_svc.queue.jobs import Order
from usbshare.job_svc.queue.watch import Shown
from usbshare.job_svc.storage.job import Job, JobState, Person, Progress, StoredFile
from usbshare.rpc.wire_time import duration, optional_duration, timestamp

LONGEST_NAME_BYTES = 200
LONGEST_REASON_BYTES = 200
LONGEST_REQUEST_ID_BYTES = 64
MOST_PASSES = 1000
HIGHEST_PRIORITY = 100
MOST_LISTED, LISTED = 500, 50
SHA256_BYTES = 32
MOST_PIECE_BYTES = 64 * 1024
NAMELESS = "unnamed"

_STATES = {
    JobState.QUEUED: pb.JOB_STATE_QUEUED,
    JobState.RUNNING: pb.JOB_STATE_RUNNING,
    JobState.HELD: pb.JOB_STATE_HELD,
    JobState.FINISHED: pb.JOB_STATE_FINISHED,
    JobState.CANCELLED: pb.JOB_STATE_CANCELLED,
    JobState.FAILED: pb.JOB_STATE_FAILED,
    JobState.INTERRUPTED: pb.JOB_STATE_INTERRUPTED,
}
_CHANGES = {
    Shown.EXISTING: pb.JOB_CHANGE_EXISTING,
    Shown.ADDED: pb.JOB_CHANGE_ADDED,
    Shown.UPDATED: pb.JOB_CHANGE_UPDATED,
    Shown.REMOVED: pb.JOB_CHANGE_REMOVED,
}


def job_message(job: Job, place: int = 0) -> pb.Job:
    """Return a job."""
    return pb.Job(
        job_id=job.job_id,
        port_id=job.port_id,
        name=job.name,
        file=file_message(job.file),
        submitter=job.submitter.name,
        state=_STATES[job.state],
        state_reason=job.reason,
        passes=job.passes,
        priority=job.priority,
        attended=job.attended,
        first_line=job.first_line,
        place=place,
        enqueue_time=timestamp(job.enqueued),
        start_time=None if job.started is None else timestamp(job.started),
        end_time=None if job.ended is None else timestamp(job.ended),
        progress=_progress(job.progress),
        starter=job.starter,
        auto_advance=job.auto_advance,
        hold_number=job.hold_number,
        control_requests=[
            pb.ControlRequest(who=each.who, request_time=timestamp(each.at))
            for each in job.control_requests
        ],
    )


def file_message(file: StoredFile) -> pb.File:
    """Return a file."""
    return pb.File(sha256=bytes.fromhex(file.sha256), size_bytes=file.size_bytes, lines=file.lines)


def watch_message(shown: Shown, job: Job, place: int) -> pb.WatchJobsResponse:
    """Return a job's news for a watcher."""
    return pb.WatchJobsResponse(change=_CHANGES[shown], job=job_message(job, place))


def sha256_of(digest: bytes) -> str:
    """Return a hash in hexadecimal digits; InvalidArgumentError unless it has 32 bytes."""
    if len(digest) != SHA256_BYTES:
        raise InvalidArgumentError(
            f"sha256 has {len(digest)} bytes; it must have {SHA256_BYTES}, the SHA-256 of the file"
        )
    return digest.hex()


def name_of(text: str) -> str:
    """Return the name of a file, fit to be shown."""
    _require_bytes(text, "name", LONGEST_NAME_BYTES)
    return clean_text(text, LONGEST_NAME_BYTES) or NAMELESS


def reason_of(text: str) -> str:
    """Return a reason, fit to be shown; no text is refused."""
    return clean_text(text, LONGEST_REASON_BYTES)


def order(request: pb.EnqueueRequest, port_id: str, file: StoredFile, submitter: Person) -> Order:
    """Return a client's request as an order for a job; InvalidArgumentError names the field."""
    _require_bytes(request.request_id, "request_id", LONGEST_REQUEST_ID_BYTES)
    if abs(request.priority) > HIGHEST_PRIORITY:
        raise InvalidArgumentError(
            f"priority is {request.priority}; -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY} are allowed"
        )
    if request.first_line > file.lines:
        raise InvalidArgumentError(
            f"first_line is {request.first_line}; the file has {file.lines} lines"
        )
    return Order(
        port_id=port_id,
        name=name_of(request.name),
        file=file,
        submitter=submitter,
        passes=passes_of(request.passes),
        priority=request.priority,
        attended=request.attended,
        first_line=request.first_line or 1,
        request_id=request.request_id,
    )


def passes_of(asked: int) -> int:
    """Return how many times a file is run; raises InvalidArgumentError."""
    if asked > MOST_PASSES:
        raise InvalidArgumentError(f"passes is {asked}; 1 to {MOST_PASSES} are allowed")
    return asked or 1


def page_size(asked: int) -> int:
    """Return how many jobs of the history to list; raises InvalidArgumentError."""
    if asked > MOST_LISTED:
        raise InvalidArgumentError(f"page_size is {asked}; 1 to {MOST_LISTED} are allowed")
    return asked or LISTED


def _require_bytes(text: str, field: str, most: int) -> None:
    if (size := len(text.encode())) > most:
        raise InvalidArgumentError(f"{field} has {size} bytes; at most {most} are allowed")


def _progress(progress: Progress) -> pb.Progress:
    # `pass` is a keyword of Python, so it cannot be named here.
    message = pb.Progress(
        lines=progress.lines,
        size_bytes=progress.size_bytes,
        sent_lines=progress.sent_lines,
        sent_bytes=progress.sent_bytes,
        acknowledged_lines=progress.acknowledged_lines,
        acknowledged_bytes=progress.acknowledged_bytes,
        executed_lines=progress.executed_lines,
        elapsed=duration(progress.elapsed_s),
        remaining=optional_duration(progress.remaining_s),
    )
    setattr(message, "pass", progress.run)
    return message
