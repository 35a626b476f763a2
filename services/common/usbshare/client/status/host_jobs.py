"""The jobs of a host, if it has a job service."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from usbshare.base.errors import UsbshareError
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import JobView
from usbshare.client.jobs.place import job_place
from usbshare.client.status.records import PortStatus
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

GUESS_S = 1.5
# Where there is none, it is looked again so much later.
AGAIN_S = 15.0


class HostJobs:
    """Asks one host for its jobs, as long as it answers.

    `port`: where its job service listens; None: where the host announces it.
    """

    def __init__(
        self, serial: Target, bundle: ClientBundle | None, port: int | None = None
    ) -> None:
        self._serial = serial
        self._bundle = bundle
        self._port = port
        self._client: JobClient | None = None
        self._not_before = 0.0

    async def look(self) -> JobView | None:
        """Return the jobs that have not ended; None where there is no job service."""
        if time.monotonic() < self._not_before:
            return None
        try:
            place = await self._place()
            async with asyncio.timeout(GUESS_S):
                if self._client is None:
                    self._client = JobClient(place, self._bundle)
                return await self._client.look(timeout_s=GUESS_S)
        except (UsbshareError, TimeoutError):
            self._not_before = time.monotonic() + AGAIN_S
            await self.close()  # it may be announced elsewhere when it is back
            return None

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _place(self) -> Target:
        if self._client is not None:
            return self._client.target
        if self._port is not None:
            return replace(self._serial, port=self._port)
        return await job_place(self._serial, self._bundle)


def with_jobs(status: PortStatus, seen: JobView | None) -> PortStatus:
    """Return a port with its jobs."""
    if seen is None:
        return status
    return replace(status, jobs=tuple(job for job in seen.jobs if job.port_id == status.port.id))


def troubles_of(seen: JobView | None) -> tuple[str, ...]:
    """Return what is wrong with the job service itself."""
    return () if seen is None else seen.troubles
