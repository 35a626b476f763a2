"""`usbshare-bridge job start`, `hold`, `resume`, `hand-over`, `cancel`: a job's machine."""

from __future__ import annotations

from pathlib import Path

import click

from usbshare.bridge.commands.confirmation import code_option
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options
from usbshare.bridge.jobs.commands.host import JOB, JobHost, job_host, urgent_job_host
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import HELD, RemoteJob
from usbshare.client.jobs.shown import fields

REASON = click.option("--reason", default="", metavar="TEXT", help="Reason, for the host's log.")


@click.command()
@connection_options
@JOB
@click.option(
    "--auto-advance",
    is_flag=True,
    help="Then start the next job of the queue, and so on, until one does not finish.",
)
@click.option("--despite-errors", is_flag=True, help="Start although the analysis found errors.")
@code_option
@json_option("Print JSON.")
@click.pass_context
def start(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    auto_advance: bool,
    despite_errors: bool,
    code: str,
    as_json: bool,
) -> None:
    """Start a queued job."""
    host = job_host(context, target, bundle, insecure)
    job = host.call(
        lambda client: client.start(
            job_id, auto_advance=auto_advance, despite_errors=despite_errors
        ),
        code,
    )
    tell_started(host, job, as_json=as_json)


@click.command()
@connection_options
@JOB
@REASON
@json_option("Print JSON.")
@click.pass_context
def hold(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    reason: str,
    as_json: bool,
) -> None:
    """Hold the machine of a running job; the job is kept."""
    host = urgent_job_host(context, target, bundle, insecure)
    job = host.call(lambda client: client.hold(job_id, reason))
    text = f"{_named(job)} is {job.state}: {host.hint(f'resume {job.id}')} continues"
    _tell(job, text, as_json=as_json)


@click.command()
@connection_options
@JOB
@click.option(
    "--hold-number",
    type=click.IntRange(min=0),
    help="The number of the hold that you saw, as `show --json` prints it; a later hold stays.",
)
@code_option
@json_option("Print JSON.")
@click.pass_context
def resume(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    hold_number: int | None,
    code: str,
    as_json: bool,
) -> None:
    """Let a held job continue."""
    host = job_host(context, target, bundle, insecure)

    async def go_on(client: JobClient) -> RemoteJob:
        if hold_number is not None:
            return await client.resume(job_id, hold_number)
        seen = await client.get(job_id)
        return await client.resume(job_id, seen.hold_number)

    job = host.call(go_on, code)
    is_held = job.state == HELD
    text = f"{_named(job)} is still held: {job.reason}" if is_held else f"{_named(job)} continues"
    _tell(job, text, as_json=as_json)


@click.command()
@connection_options
@JOB
@REASON
@json_option("Print JSON.")
@click.pass_context
def cancel(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    reason: str,
    as_json: bool,
) -> None:
    """End a job permanently; the machine of a running one is reset, with the beam off."""
    host = urgent_job_host(context, target, bundle, insecure)
    job = host.call(lambda client: client.cancel(job_id, reason))
    _tell(job, f"{_named(job)} is {job.state}", as_json=as_json)


@click.command("hand-over")
@connection_options
@JOB
@REASON
@json_option("Print JSON.")
@click.pass_context
def hand_over(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    reason: str,
    as_json: bool,
) -> None:
    """End a running job and release its port to whoever asked for it.

    Its machine is held, and reset once it is at rest. `job submit --from-line` continues it later.
    """
    host = job_host(context, target, bundle, insecure)
    job = host.call(lambda client: client.hand_over(job_id, reason))
    text = f"{_named(job)} is {job.state}; the port is free"
    _tell(job, text, as_json=as_json)


def tell_started(host: JobHost, job: RemoteJob, *, as_json: bool) -> None:
    """Print that a job runs, and what its host remarks about it."""
    text = f"{_named(job)} runs: {host.hint(f'watch {job.id}')} shows how far it is"
    _tell(job, text, as_json=as_json)
    if job.reason:
        warn(f"job {job.id}: {job.reason}")


def _named(job: RemoteJob) -> str:
    return f"job {job.id} ({job.name}) on port '{job.port_id}'"


def _tell(job: RemoteJob, text: str, *, as_json: bool) -> None:
    if as_json:
        print_object(fields(job))
    else:
        click.echo(text)
