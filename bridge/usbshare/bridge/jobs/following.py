"""Follows jobs over links that come and go; the jobs continue on the host meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, DrainingError, SessionLostError
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import RemoteJob

# A job is asked for so often where nothing is heard of it.
LOOK_S = 5.0
_CUTS = (ConnectionRefusedByPeerError, DrainingError, SessionLostError)


async def follow_job(
    client: JobClient,
    job_id: int,
    show: Callable[[RemoteJob], None],
    on_cut: Callable[[str], None],
) -> RemoteJob:
    """Show a job whenever it changes; return it once it has ended.

    Raises UsbshareError if the host cannot be reached at first, or has no such job.
    """
    backoff, is_first = Backoff(random.random), True
    while True:
        try:
            job = await client.get(job_id)
            is_first = False
            backoff.reset()
            if (ended := await _until_ended(client, job, show)) is not None:
                return ended
        except _CUTS as error:
            if is_first:
                raise
            on_cut(str(error))
        await asyncio.sleep(backoff.next_s())


async def _until_ended(
    client: JobClient, job: RemoteJob, show: Callable[[RemoteJob], None]
) -> RemoteJob | None:
    """Return the job once it has ended; None if the watch ended before."""
    latest, has_news = [job], asyncio.Event()

    async def listen() -> None:
        async with aclosing(client.watch(job.port_id)) as changes:
            async for each, _ in changes:
                if each.id == job.id:
                    latest[0] = each
                    has_news.set()

    listening = asyncio.create_task(listen(), name=f"watch job {job.id}")
    try:
        while True:
            show(latest[0])
            if latest[0].has_ended:
                return latest[0]
            has_news.clear()
            await first_of(has_news, listening, timeout_s=LOOK_S)
            if listening.done():
                listening.result()
                return None
            if not has_news.is_set():
                latest[0] = await client.get(job.id)
    finally:
        await cancel_all(listening)


async def follow_queue(
    client: JobClient,
    port_id: str,
    show: Callable[[Sequence[RemoteJob]], None],
    on_cut: Callable[[str], None],
) -> None:
    """Show the jobs that have not ended whenever one changes, until cancelled."""
    backoff, is_first = Backoff(random.random), True
    while True:
        try:
            await _show_changes(client, port_id, show, backoff.reset)
        except _CUTS as error:
            if is_first:
                raise
            on_cut(str(error))
        is_first = False
        await asyncio.sleep(backoff.next_s())


async def _show_changes(
    client: JobClient,
    port_id: str,
    show: Callable[[Sequence[RemoteJob]], None],
    on_answer: Callable[[], None],
) -> None:
    jobs = {job.id: job for job in await client.list_jobs(port_id)}
    on_answer()
    show(_in_order(jobs.values()))
    async with aclosing(client.watch(port_id)) as changes:
        async for each, is_gone in changes:
            if is_gone:
                jobs.pop(each.id, None)
            elif jobs.get(each.id) == each:
                continue
            else:
                jobs[each.id] = each
            show(_in_order(jobs.values()))


def _in_order(jobs: Iterable[RemoteJob]) -> list[RemoteJob]:
    return sorted(jobs, key=lambda job: (job.port_id, job.place, job.id))
