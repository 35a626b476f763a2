"""Jobs as they are shown everywhere: how far they are, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from usbshare.client.jobs.messages import JobProgress, RemoteJob


def fields(job: RemoteJob) -> dict[str, Any]:
    """Return a job for JSON."""
    told = asdict(job.progress)
    told["pass"] = told.pop("run")
    return {
        "job": job.id,
        "port": job.port_id,
        "name": job.name,
        "state": job.state,
        "reason": job.reason,
        "sha256": job.file.sha256,
        "size_bytes": job.file.size_bytes,
        "file_lines": job.file.lines,
        "submitter": job.submitter,
        "starter": job.starter,
        "passes": job.passes,
        "priority": job.priority,
        "attended": job.attended,
        "first_line": job.first_line,
        "place": job.place,
        "auto_advance": job.auto_advance,
        "hold_number": job.hold_number,
        "enqueued": job.enqueued.isoformat(),
        "started": _utc(job.started),
        "ended": _utc(job.ended),
        "progress": told,
        "control_requests": [
            {"who": each.who, "time": each.at.isoformat()} for each in job.control_requests
        ],
    }


def asked_by(job: RemoteJob) -> str:
    """Return who would like to have the job's port, the latest last; empty where nobody does."""
    return ", ".join(each.who for each in job.control_requests)


def done_lines(progress: JobProgress) -> int:
    """Return how many lines are done: executed, or answered where nobody can tell that."""
    return progress.executed_lines or progress.acknowledged_lines


def percent(progress: JobProgress) -> int:
    """Return how much of it is done, 100 only for all of it."""
    return done_lines(progress) * 100 // progress.lines if progress.lines else 0


def time_text(seconds: float) -> str:
    """Return a time as people say it: 45 s, 3:05, 1:20:00."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
