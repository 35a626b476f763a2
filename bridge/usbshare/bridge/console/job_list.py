"""The jobs of the host, as the console shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.console.host import Host
from usbshare.bridge.console.lines import Line, answers, problem
from usbshare.bridge.console.table import Asker, Command
from usbshare.bridge.tables.jobs import details, queue_table
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.place import job_place


class JobList:
    """What `jobs` does."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def command(self) -> Command:
        """Return the command; the aliases are what users of older tools type."""
        return Command(
            *("jobs", "show the host's jobs, or all about one", self.show, "[JOB]", "view"),
            aliases=("spooler list", "spool list", "spool", "spooler"),
        )

    async def show(self, _: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        """Show the jobs that wait, run or are held, or one."""
        async with self._client() as client:
            if arguments:
                return answers([details(await client.get(_job_id(arguments[0])))])
            seen = await client.look()
        self._host.note_jobs([str(job.id) for job in seen.jobs])
        troubles = [problem(f"job-svc: {each}") for each in seen.troubles]
        none = [Line("no job is waiting or running")]
        jobs = answers([queue_table(seen.jobs)]) if seen.jobs else none
        return [*troubles, *jobs]

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[JobClient]:
        target, bundle = self._host.place
        port = self._host.job_port
        there = replace(target, port=port) if port else await job_place(target, bundle)
        client = JobClient(there, bundle)
        try:
            yield client
        finally:
            await client.close()


def _job_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 63):
        raise InvalidArgumentError(f"{text!r} is not a job number: `jobs` lists them")
    return int(text)
