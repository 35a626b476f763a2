"""What prevents the start of a job, in one line each."""

from __future__ import annotations

import asyncio

from usbshare.analysis.records import Analysis, Severity
from usbshare.base.errors import WrongStateError
from usbshare.client.serial.messages import RemotePort
from usbshare.job_svc.run.analyses import Analyses
from usbshare.job_svc.storage.job import Job

ANALYSIS_TIMEOUT_S = 20.0


def require_ready(port: RemotePort) -> None:
    """Raise WrongStateError unless the port may begin a job.

    What its machine reported last may be long ago: the machine is asked once the session is open.
    """
    if (why := _why_not(port)) != "":
        raise WrongStateError(f"port {port.id!r} {why}")


def require_untouched(before: RemotePort, now: RemotePort | None) -> None:
    """Raise WrongStateError where somebody stopped, held or reset the machine since `before`.

    Whoever did that must see a job start, also where the port was re-armed or resumed since.
    """
    seen = (before.epoch, before.hold_number)
    if now is None or (now.epoch, now.hold_number) != seen:
        raise WrongStateError(
            f"port {before.id!r} was stopped, held or reset before the job began: check the "
            "machine, then start the job again"
        )


async def require_no_errors(analyses: Analyses, job: Job, *, despite: bool) -> Analysis | None:
    """Return what a job's file does, None if unknown; WrongStateError if it has errors.

    `despite`: errors do not prevent the start, and the analysis is not waited for.
    """
    task = analyses.of(job.file.sha256, job.port_id, job.passes)
    if despite and not task.done():
        return None
    if not task.done():
        analyses.hurry(job.file.sha256, job.port_id, job.passes)
    await asyncio.wait((task,), timeout=ANALYSIS_TIMEOUT_S)
    if not task.done() or task.cancelled():
        done = analyses.lines_done(job.file.sha256, job.port_id, job.passes)
        raise WrongStateError(
            f"job {job.job_id} is still being checked, {done} of {job.file.lines} lines: start it "
            "later, or despite errors"
        )
    analysis = task.result()
    if analysis.error_count and not despite:
        raise WrongStateError(_errors(job, analysis))
    return analysis


def _why_not(port: RemotePort) -> str:
    if port.latched:
        by = f" since {port.latch}" if port.latch is not None else ""
        return f"is latched{by}: re-arm it first"
    if port.hold is not None:
        return f"is held ({port.hold.cause}, {port.hold.who}): resume it, or reset the machine"
    if port.holder:
        return f"is in use by {port.holder}"
    return ""


def _errors(job: Job, analysis: Analysis) -> str:
    errors = [each for each in analysis.findings if each.severity is Severity.ERROR]
    first = ""
    if errors:
        where = f"line {errors[0].line}: " if errors[0].line else ""
        first = f", the first: {where}{errors[0].text}"
    count = analysis.error_count
    return (
        f"job {job.job_id} has {count} error{'s' if count > 1 else ''}{first}; start it despite "
        "errors if that is right"
    )
