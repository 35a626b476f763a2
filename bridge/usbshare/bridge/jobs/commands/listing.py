"""`usbshare-bridge job list`, `show` and `history`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, port_option
from usbshare.bridge.jobs.commands.host import JOB, job_host
from usbshare.bridge.tables.jobs import details, history_table, queue_table
from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.jobs.shown import fields

MOST_LISTED = 500


@click.command("list")
@connection_options
@port_option
@json_option("Print JSON.")
@click.pass_context
def list_jobs(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    as_json: bool,
) -> None:
    """Show the jobs that wait, run or are held."""
    host = job_host(context, target, bundle, insecure)
    seen = host.call(lambda client: client.look(port))
    for trouble in seen.troubles:
        warn(f"job-svc: {trouble}")
    jobs = list(seen.jobs)
    if as_json:
        _print_list(jobs)
    elif jobs:
        click.echo(queue_table(jobs))
    else:
        warn(f"no job is waiting or running there; {host.hint('history')} shows ended jobs")


@click.command()
@connection_options
@JOB
@json_option("Print JSON.")
@click.pass_context
def show(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    as_json: bool,
) -> None:
    """Show all that is known of one job."""
    host = job_host(context, target, bundle, insecure)
    job = host.call(lambda client: client.get(job_id))
    if as_json:
        print_object(fields(job))
    else:
        click.echo(details(job))


@click.command()
@connection_options
@port_option
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=50,
    help="How many at most, the latest first.",
)
@click.option(
    "--before", metavar="JOB", type=click.IntRange(min=1), help="Only jobs with a lower number."
)
@json_option("Print JSON.")
@click.pass_context
def history(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """Show the jobs that have ended, and how."""
    host = job_host(context, target, bundle, insecure)
    jobs = host.call(lambda client: client.history(port, limit, before or 0))
    if as_json:
        _print_list(jobs)
    elif jobs:
        click.echo(history_table(jobs))
    else:
        warn("no job has ended there")


def _print_list(jobs: list[RemoteJob]) -> None:
    click.echo(json.dumps([fields(job) for job in jobs], indent=2, ensure_ascii=False))
