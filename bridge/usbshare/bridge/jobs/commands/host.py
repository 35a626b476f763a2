"""Which host's jobs are meant, and how its job service is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from usbshare.base.event_loop import run
from usbshare.bridge.commands.confirmation import run_confirmed
from usbshare.bridge.commands.notices import told_run, warn
from usbshare.bridge.commands.options import (
    Wanted,
    be_urgent,
    configured_host,
    is_address,
    resolved,
    says_port,
    trust,
    wanted,
)
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.place import job_place
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

T = TypeVar("T")

JOB = click.argument("job_id", metavar="JOB", type=click.IntRange(min=1))


@dataclass(frozen=True, slots=True)
class JobHost:
    """A host's job service; `said` is how a person named it, empty if nobody did."""

    target: Target
    bundle: ClientBundle | None
    said: str

    def call(self, ask: Callable[[JobClient], Awaitable[T]], code: str = "") -> T:
        """Call it over a connection of its own; a code is asked for where the host wants one."""
        return run_confirmed(
            told_run(self.target), lambda: self._asked(ask), self.target, self.bundle, code
        )

    def follow(self, ask: Callable[[JobClient], Awaitable[T]]) -> T:
        """Make a call that lasts, as long as it takes."""
        return run(self._asked(ask))

    def hint(self, command: str) -> str:
        """Return how a subcommand of `job` is called for this host."""
        where = f" --target {self.said}" if self.said else ""
        return f"`usbshare-bridge job {command}{where}`"

    async def _asked(self, ask: Callable[[JobClient], Awaitable[T]]) -> T:
        client = JobClient(self.target, self.bundle)
        try:
            return await ask(client)
        finally:
            await client.close()


def job_host(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> JobHost:
    """Return the host that is meant: as said, else as used last, else the only one there is.

    A port that somebody says now is the job service's. One that is configured or was used last is
    the serial service's: the host announces where its jobs are, else they are at 50055.
    """
    wishes = wanted(context, target, bundle, insecure)
    trusted = trust(wishes)
    said = wishes.target if wishes.is_asked else ""
    # For a name the whole configuration is read.
    host = None if is_address(wishes.target) else configured_host(wishes)
    if host is not None and host.job:
        return JobHost(Target(host.address, host.job, name=wishes.target.strip()), trusted, said)
    if wishes.target or wishes.is_asked:
        where = resolved(context, wishes, trusted)
        if wishes.is_asked and says_port(wishes.target):
            return JobHost(where, trusted, said)
    else:
        where = _only_host(context, wishes, trusted)
    return JobHost(run(job_place(where, trusted)), trusted, said)


def urgent_job_host(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> JobHost:
    """Return the host for what must be quick: see `be_urgent`."""
    be_urgent(context)
    return job_host(context, target, bundle, insecure)


def _only_host(context: click.Context, wishes: Wanted, bundle: ClientBundle | None) -> Target:
    from usbshare.bridge.commands.match_option import (  # noqa: PLC0415 - a hold needs none of it
        DEFAULT_TIMEOUT_S,
        inventory_of,
    )
    from usbshare.bridge.hosts.match_filter import PORT  # noqa: PLC0415

    inventory = inventory_of(context, wishes, bundle, DEFAULT_TIMEOUT_S)
    found = inventory.places_of(PORT)
    if len(found) == 1:
        name, target = next(iter(found.items()))
        warn(f"the only host found: --target {name}")
        return target
    names = ", ".join(sorted(found))
    raise click.UsageError(
        f"Several hosts are known; give '--target': {names}."
        if found
        else "Missing option '--target': the laser host, such as laser, or its name as "
        "`usbshare-bridge discover` shows it."
    )
