"""`usbshare-bridge job reorder` and `delete`: what changes in a queue."""

from __future__ import annotations

import json
from pathlib import Path

import click

from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.options import connection_options
from usbshare.bridge.jobs.commands.host import JOB, job_host
from usbshare.bridge.tables.jobs import queue_table
from usbshare.client.jobs.shown import fields


@click.command()
@connection_options
@JOB
@click.argument("place", type=click.IntRange(min=1))
@json_option("Print the queue as JSON.")
@click.pass_context
def reorder(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    place: int,
    as_json: bool,
) -> None:
    """Move a queued job to PLACE in the queue of its port; 1 is the first."""
    host = job_host(context, target, bundle, insecure)
    queue = host.call(lambda client: client.reorder(job_id, place))
    if as_json:
        click.echo(json.dumps([fields(job) for job in queue], indent=2, ensure_ascii=False))
    else:
        click.echo(queue_table(queue))


@click.command()
@connection_options
@JOB
@json_option("Print JSON.")
@click.pass_context
def delete(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int,
    as_json: bool,
) -> None:
    """Delete a job that is not running; its file is deleted with the last job that needs it."""
    host = job_host(context, target, bundle, insecure)
    host.call(lambda client: client.delete(job_id))
    if as_json:
        print_object({"job": job_id, "deleted": True})
    else:
        click.echo(f"job {job_id} is deleted")
