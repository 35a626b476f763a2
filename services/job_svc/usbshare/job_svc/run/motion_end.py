"""Ends what a machine was given of a job that does not go on: held, then reset at rest."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from usbshare.base.errors import UsbshareError
from usbshare.job_svc.run.job_run import POLL, JobRun, Stream

_log = logging.getLogger(__name__)
REST_TIMEOUT_S, REST_LOOK_S = 3.0, 0.05
# The first may have been under way when the machine was held.
REST_REPORTS = 3


class Acts(Protocol):
    """What acts on a machine beside its session; raises UsbshareError."""

    async def hold(self, port_id: str, reason: str) -> object:
        """Hold a machine."""
        ...

    async def reset(self, port_id: str, reason: str) -> None:
        """Reset a machine; what was sent is void."""
        ...


async def end_motion(acts: Acts, run: JobRun, stream: Stream) -> None:
    """Reset a job's machine, at rest where it can be held: in motion it loses its position.

    Where neither gets there its session does it. A session that ended with the machine running
    would write what waits.
    """
    job = run.job
    reason = f"job {job.job_id} ended"
    try:
        await acts.hold(job.port_id, reason)
        await _until_rest(run, stream)
    except UsbshareError as error:
        _log.error("job %d: its machine cannot be held: %s", job.job_id, error)
    try:
        await acts.reset(job.port_id, reason)
    except UsbshareError as error:
        _log.error("job %d: its machine cannot be reset: %s", job.job_id, error)
        run.stop(stream)


async def _until_rest(run: JobRun, stream: Stream) -> None:
    run.count_rest_anew()
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_TIMEOUT_S):
            while run.resting_reports < REST_REPORTS:
                stream.realtime(POLL)
                await asyncio.sleep(REST_LOOK_S)
