"""`usbshare-bridge job watch`: how far jobs are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click

from usbshare.base.live_table import LiveTable
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, port_option
from usbshare.bridge.jobs.commands.host import JobHost, job_host
from usbshare.bridge.jobs.following import follow_job, follow_queue
from usbshare.bridge.jobs.link_notices import LinkNotices
from usbshare.bridge.jobs.progress import JobDisplay, Lines, display_on, job_line
from usbshare.bridge.tables.jobs import queue_table
from usbshare.client.jobs.messages import FINISHED, RemoteJob
from usbshare.client.jobs.shown import asked_by, fields


@click.command()
@connection_options
@click.argument("job_id", metavar="[JOB]", type=click.IntRange(min=1), required=False)
@port_option
@json_option("Print JSON, an object for each change.")
@click.pass_context
def watch(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    job_id: int | None,
    port: str,
    as_json: bool,
) -> None:
    """Show the progress of JOB until it ends; without JOB, of all jobs that wait or run.

    Ctrl-C ends only the display, never a job. The exit code is 0 if JOB was finished,
    1 if it ended otherwise.
    """
    host = job_host(context, target, bundle, insecure)
    if job_id is None:
        _watch_queue(host, port, as_json=as_json)
        return
    bar_or_lines = display_on(sys.stdout, click.echo)
    show_it = _print_job if as_json else JobDisplay(bar_or_lines).show
    link = LinkNotices(warn, bar_or_lines.leave)

    def show(job: RemoteJob) -> None:
        link.heard(job)
        show_it(job)

    try:
        job = host.follow(lambda client: follow_job(client, job_id, show, link.lost))
    except KeyboardInterrupt:
        warn(f"job {job_id} is no longer watched here; this does not stop it")
        context.exit(1)
    context.exit(0 if job.state == FINISHED else 1)


def _watch_queue(host: JobHost, port: str, *, as_json: bool) -> None:
    table = LiveTable(sys.stdout)
    is_table = not as_json and sys.stdout.isatty()

    def draw(jobs: Sequence[RemoteJob]) -> None:
        table.draw(f"{queue_table(jobs)}\n{_count(jobs)}; Ctrl-C ends")

    show_them = draw if is_table else _changes_shown(as_json=as_json)
    link = LinkNotices(warn, table.leave)

    def show(jobs: Sequence[RemoteJob]) -> None:
        link.heard(*jobs)
        show_them(jobs)

    with suppress(KeyboardInterrupt):  # that is how it ends
        host.follow(lambda client: follow_queue(client, port, show, link.lost))


def _changes_shown(*, as_json: bool) -> Callable[[Sequence[RemoteJob]], None]:
    shown: dict[int, RemoteJob] = {}
    lines: dict[int, Lines] = {}

    def changed(jobs: Sequence[RemoteJob]) -> None:
        for job in jobs:
            before = shown.get(job.id)
            if job == before:
                continue
            shown[job.id] = job
            if as_json:
                _print_job(job)
            else:
                is_news = before is None or _news_of(before) != _news_of(job)
                line = lines.setdefault(job.id, Lines(click.echo))
                line.show(0, job_line(job), is_news=is_news)

    return changed


def _news_of(job: RemoteJob) -> tuple[str, str]:
    return job.state, asked_by(job)


def _count(jobs: Sequence[RemoteJob]) -> str:
    return {0: "no job is waiting or running", 1: "1 job"}.get(len(jobs), f"{len(jobs)} jobs")


def _print_job(job: RemoteJob) -> None:
    print_object(fields(job))
