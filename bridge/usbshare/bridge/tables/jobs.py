"""Jobs as a table, as lines for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from usbshare.base.terminal_safe_text import clean_text
from usbshare.base.terminal_text import width
from usbshare.client.jobs.messages import QUEUED, RemoteJob
from usbshare.client.jobs.shown import percent, time_text

_QUEUE = ("JOB", "PORT", "STATE", "PLACE", "DONE", "LEFT", "PASS", "PRIORITY", "SUBMITTER", "NAME")
_HISTORY = ("JOB", "PORT", "STATE", "ENDED", "DONE", "TOOK", "SUBMITTER", "NAME", "WHY")
_LONGEST = 500
_LABEL = 12


def queue_table(jobs: Iterable[RemoteJob]) -> str:
    """Return jobs that have not ended, a line each."""
    return _aligned(_QUEUE, map(_queue_row, jobs))


def history_table(jobs: Iterable[RemoteJob]) -> str:
    """Return jobs that have ended, a line each."""
    return _aligned(_HISTORY, map(_history_row, jobs))


def details(job: RemoteJob) -> str:
    """Return all that is known of a job, a line for each thing."""
    return "\n".join(f"{label.ljust(_LABEL)}{_clean(text)}" for label, text in _details(job))


def _queue_row(job: RemoteJob) -> Sequence[str]:
    left = job.progress.remaining_s
    return (
        str(job.id),
        job.port_id,
        job.state,
        str(job.place or "-"),
        f"{percent(job.progress)} %",
        "-" if left is None else time_text(left),
        f"{job.progress.run}/{job.passes}",
        str(job.priority),
        _name(job.submitter),
        job.name,
    )


def _history_row(job: RemoteJob) -> Sequence[str]:
    return (
        str(job.id),
        job.port_id,
        job.state,
        "-" if job.ended is None else f"{job.ended.astimezone():%Y-%m-%d %H:%M}",
        f"{percent(job.progress)} %",
        time_text(job.progress.elapsed_s) if job.started else "-",
        _name(job.submitter),
        job.name,
        job.reason,
    )


def _details(job: RemoteJob) -> Iterator[tuple[str, str]]:
    file = job.file
    yield "job", f"{job.id}: {job.name}"
    yield "port", job.port_id
    why = f": {job.reason}" if job.reason else ""
    place = f", place {job.place}" if job.state == QUEUED else ""
    yield "state", f"{job.state}{place}{why}"
    yield "file", f"{file.lines} lines, {file.size_bytes} bytes, SHA-256 {file.sha256}"
    yield "passes", f"{job.passes}, priority {job.priority}{', attended' * job.attended}"
    if job.first_line > 1:
        yield "begins at", f"line {job.first_line}"
    yield "submitted", f"{_local(job.enqueued)} by {job.submitter}"
    if job.started is not None:
        yield "started", f"{_local(job.started)} by {job.starter}"
        yield "progress", progress_text(job)
    for each in job.control_requests:
        way = f"`job hand-over {job.id}` releases the port"
        yield "asked for", f"{_local(each.at)} by {each.who}; {way}"
    if job.ended is not None:
        yield "ended", _local(job.ended)


def progress_text(job: RemoteJob) -> str:
    """Return how far a job is, in words."""
    progress = job.progress
    text = (
        f"{percent(progress)} %: of {progress.lines} lines {progress.sent_lines} sent, "
        f"{progress.acknowledged_lines} answered, {progress.executed_lines} executed; "
        f"{time_text(progress.elapsed_s)}"
    )
    return text + (
        "" if progress.remaining_s is None else f", {time_text(progress.remaining_s)} left"
    )


def _name(identity: str) -> str:
    return identity.rpartition("/")[2]


def _aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [headings, *([_clean(cell) for cell in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def _clean(text: str) -> str:
    return clean_text(text, _LONGEST)


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
