"""The jobs of a host, if it has a job service: nobody said that it has one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from usbshare.base.errors import UsbshareError
from usbshare.client.jobs.client import JOB_PORT, JobClient
from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.status.records import PortStatus
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

GUESS_S = 1.5
# Where there is none, it is looked again so much later.
AGAIN_S = 15.0

Jobs = dict[str, tuple[RemoteJob, ...]]


class HostJobs:
    """Asks one host for its jobs, as long as it answers."""

    def __init__(self, serial: Target, bundle: ClientBundle | None, port: int = JOB_PORT) -> None:
        self._client = JobClient(replace(serial, port=port), bundle)
        self._not_before = 0.0

    async def look(self) -> Jobs | None:
        """Return the jobs that have not ended by port; None where there is no job service."""
        if time.monotonic() < self._not_before:
            return None
        try:
            async with asyncio.timeout(GUESS_S):
                found = await self._client.list_jobs(timeout_s=GUESS_S)
        except (UsbshareError, TimeoutError):
            self._not_before = time.monotonic() + AGAIN_S
            return None
        ports = {job.port_id for job in found}
        return {port: tuple(job for job in found if job.port_id == port) for port in ports}

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


def with_jobs(status: PortStatus, jobs: Jobs | None) -> PortStatus:
    """Return a port with its jobs."""
    return status if jobs is None else replace(status, jobs=jobs.get(status.port.id, ()))
