"""Follows jobs over links that come and go; the jobs continue on the host meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, DrainingError, SessionLostError
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.silence import SILENT_S, Silence

# Where nothing is heard of jobs, they are asked for so often.
LOOK_S = 1.0
NOTHING_HEARD = f"nothing heard for {SILENT_S:g} s"
_CUTS = (ConnectionRefusedByPeerError, DrainingError, SessionLostError)
OnCut = Callable[[str], None]


async def follow_job(
    client: JobClient, job_id: int, show: Callable[[RemoteJob], None], on_cut: OnCut
) -> RemoteJob:
    """Show a job whenever it changes; return it once it has ended.

    Raises UsbshareError if the host cannot be reached at first, or has no such job.
    """
    backoff, is_first = Backoff(random.random), True
    while True:
        try:
            followed = _Job(client, await client.get(job_id), show)
            is_first = False
            backoff.reset()
            await _follow(client, followed, on_cut)
            if followed.has_ended:
                return followed.job
        except _CUTS as error:
            if is_first:
                raise
            on_cut(str(error))
        await asyncio.sleep(backoff.next_s())


async def follow_queue(
    client: JobClient, port_id: str, show: Callable[[Sequence[RemoteJob]], None], on_cut: OnCut
) -> None:
    """Show the jobs that have not ended whenever one changes, until cancelled."""
    backoff, is_first = Backoff(random.random), True
    while True:
        try:
            followed = _Queue(client, port_id, show)
            await followed.look()
            backoff.reset()
            await _follow(client, followed, on_cut)
        except _CUTS as error:
            if is_first:
                raise
            on_cut(str(error))
        is_first = False
        await asyncio.sleep(backoff.next_s())


class _Followed(Protocol):
    """What is followed of the jobs of a port."""

    port_id: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        ...

    def take(self, job: RemoteJob, *, is_gone: bool) -> bool:
        """Take a job as it is now; returns whether it was one that is followed."""
        ...

    async def look(self) -> None:
        """Ask how it is now."""


class _Job:
    def __init__(
        self, client: JobClient, job: RemoteJob, show: Callable[[RemoteJob], None]
    ) -> None:
        self.port_id, self.job = job.port_id, job
        self._client, self._show = client, show
        show(job)

    @property
    def has_ended(self) -> bool:
        return self.job.has_ended

    def take(self, job: RemoteJob, *, is_gone: bool) -> bool:
        del is_gone
        if job.id != self.job.id:
            return False
        self.job = job
        self._show(job)
        return True

    async def look(self) -> None:
        self.take(await self._client.get(self.job.id), is_gone=False)


class _Queue:
    has_ended = False

    def __init__(
        self, client: JobClient, port_id: str, show: Callable[[Sequence[RemoteJob]], None]
    ) -> None:
        self.port_id = port_id
        self._client, self._show = client, show
        self._jobs: dict[int, RemoteJob] = {}

    def take(self, job: RemoteJob, *, is_gone: bool) -> bool:
        before = self._jobs.get(job.id)
        if is_gone:
            self._jobs.pop(job.id, None)
        else:
            self._jobs[job.id] = job
        if self._jobs.get(job.id) != before:
            self._show(_in_order(self._jobs.values()))
        return True

    async def look(self) -> None:
        self._jobs = {job.id: job for job in await self._client.list_jobs(self.port_id)}
        self._show(_in_order(self._jobs.values()))


async def _follow(client: JobClient, followed: _Followed, on_cut: OnCut) -> None:
    """Follow what a host tells until that ends; ask where it tells nothing, `on_cut` if in vain."""
    silence, has_news = Silence(), asyncio.Event()

    async def listen() -> None:
        async with aclosing(client.watch(followed.port_id)) as changes:
            async for job, is_gone in changes:
                silence.heard()
                if followed.take(job, is_gone=is_gone):
                    has_news.set()

    silence.heard()
    listening = asyncio.create_task(listen(), name="watch jobs")
    try:
        while not followed.has_ended:
            has_news.clear()
            await first_of(has_news, listening, timeout_s=LOOK_S)
            if listening.done():
                listening.result()
                return
            if not has_news.is_set():
                await silence.told(followed.look(), lambda: on_cut(NOTHING_HEARD))
                silence.heard()
    finally:
        await cancel_all(listening)


def _in_order(jobs: Iterable[RemoteJob]) -> list[RemoteJob]:
    return sorted(jobs, key=lambda job: (job.port_id, job.place, job.id))
