"""What a doctor says of a host's job service, asked as a client asks it."""

from __future__ import annotations

from collections import Counter

from usbshare.base.checkup import Judgement, fine, warning
from usbshare.base.errors import PermissionDeniedError, UsbshareError
from usbshare.client.health import HealthClient
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import JobView
from usbshare.rpc.channel import Target
from usbshare.rpc.other_service import JOB_SERVICE
from usbshare.rpc.tls import ClientBundle

LOOK_S = 5.0
_DOCTOR = "run `job-svc doctor` on the host"
_START = f"start it there (`systemctl start job-svc`) if jobs are wanted; else {_DOCTOR}"


async def judge_job_service(
    target: Target, bundle: ClientBundle | None, *, is_expected: bool
) -> Judgement:
    """Check whether it answers and what it says of itself; without jobs all else works.

    `is_expected`: it is announced, or has run here; else it may well not be there.
    """
    client, health = JobClient(target, bundle), HealthClient(target, bundle)
    try:
        status = await health.status(JOB_SERVICE)
        seen = await client.look(timeout_s=LOOK_S)
    except PermissionDeniedError as error:
        return fine(f"job-svc answers at {target}, but shows this identity no jobs ({error})")
    except UsbshareError as error:
        if is_expected:
            return warning(f"job-svc at {target} does not answer: {error}", _START)
        return fine(f"not in use: nothing answers at {target}")
    finally:
        await client.close()
        await health.close()
    if seen.troubles or status != "SERVING":
        return warning(f"job-svc at {target} {_unwell(status, seen)}", _DOCTOR)
    return fine(f"job-svc at {target} serves; {_jobs(seen)}")


def _unwell(status: str, seen: JobView) -> str:
    return f"is {status}: {'; '.join(seen.troubles) or 'it gives no reason'}"


def _jobs(seen: JobView) -> str:
    counts = Counter(job.state for job in seen.jobs)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no job is waiting"
