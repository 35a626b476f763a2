"""`usbshare-bridge job submit`: sends a file to a host and makes a job of it."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import click

from usbshare.base.sizes import part_text
from usbshare.bridge.commands.confirmation import code_option
from usbshare.bridge.commands.default_options import virtual_port_options
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, port_option
from usbshare.bridge.jobs.commands.capture import SETTINGS, captured_source
from usbshare.bridge.jobs.commands.host import JobHost, job_host
from usbshare.bridge.jobs.commands.steer import tell_started
from usbshare.bridge.jobs.file_source import STANDARD_INPUT, FileSource, open_source
from usbshare.bridge.jobs.progress import display_on
from usbshare.client.jobs.client import JobClient
from usbshare.client.jobs.messages import JobOrder, RemoteJob
from usbshare.client.jobs.shown import fields
from usbshare.client.jobs.upload import Uploader, enqueue_surely


@click.command()
@connection_options
@click.argument("file", metavar="FILE", required=False)
@port_option
@click.option(
    "--capture",
    "is_captured",
    is_flag=True,
    help="Instead of FILE: what a program sends to --vcom, --usb-port, --tcp or --rfc2217.",
)
@virtual_port_options
@SETTINGS
@click.option(
    "--name", default="", metavar="TEXT", help="Name of the job; by default the name of the file."
)
@click.option(
    "--passes", type=click.IntRange(1, 1000), default=1, help="How many times the file is run."
)
@click.option(
    "--priority",
    type=click.IntRange(-100, 100),
    default=0,
    help="Jobs with a higher priority go first in the queue.",
)
@click.option(
    "--from-line",
    "first_line",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Begin with this line, after the modes of the lines before it are set.",
)
@click.option(
    "--attended", is_flag=True, help="Hold the job when nobody who may stop it is watching."
)
@click.option("--start", is_flag=True, help="Start it at once, if the machine is free.")
@click.option(
    "--despite-errors", is_flag=True, help="With --start: even if the analysis found errors."
)
@code_option
@json_option("Print JSON.")
@click.pass_context
def submit(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    file: str | None,
    port: str,
    is_captured: bool,
    vcom: str | None,
    usb_port: str | None,
    tcp: str | None,
    rfc2217: str | None,
    settings_file: Path | None,
    name: str,
    passes: int,
    priority: int,
    first_line: int,
    attended: bool,
    start: bool,
    despite_errors: bool,
    code: str,
    as_json: bool,
) -> None:
    """Send FILE, or a captured job, to the queue of its port on the host; - is standard input.

    The file is then stored on the host, and this computer is no longer needed. An interrupted
    upload continues where it stopped, also with the same command later.
    """
    del vcom, usb_port, tcp, rfc2217  # `captured_source` reads them
    if is_captured == (file is not None):
        raise click.UsageError("Give FILE or '--capture': what to send.")
    if settings_file is not None and not is_captured:
        raise click.UsageError("'--settings' requires '--capture'.")
    if despite_errors and not start:
        raise click.UsageError("'--despite-errors' requires '--start'.")
    host = job_host(context, target, bundle, insecure)
    if file is None:
        source = captured_source(context, settings_file)
    else:
        source = open_source(file, sys.stdin.buffer)
    try:
        _upload(host, source, is_piped=file in (None, STANDARD_INPUT))
    finally:
        source.close()
    order = JobOrder(
        port_id=port,
        sha256=source.sha256,
        name=name or source.name,
        passes=passes,
        priority=priority,
        attended=attended,
        first_line=first_line,
        request_id=uuid.uuid4().hex,
    )
    job = host.call(lambda client: enqueue_surely(client, order))
    if not start:
        _tell(host, job, as_json=as_json)
        return
    if not as_json:
        click.echo(f"job {job.id}: {job.name}, in the queue of '{job.port_id}'")
    job = host.call(lambda client: client.start(job.id, despite_errors=despite_errors), code)
    tell_started(host, job, as_json=as_json)


def _upload(host: JobHost, source: FileSource, *, is_piped: bool) -> None:
    """Send the file; Ctrl-C leaves it resumable, and says so."""
    display = display_on(sys.stderr, warn)
    uploader: list[Uploader] = []

    def progressed(accepted: int) -> None:
        if not accepted:
            return
        percent = accepted * 100 // source.size_bytes
        text = f"{source.name}: {part_text(accepted, source.size_bytes)} sent"
        display.show(percent, text, is_news=accepted == source.size_bytes)

    def cut(why: str) -> None:
        done = uploader[0].accepted
        display.leave()
        warn(f"interrupted at {done} of {source.size_bytes} bytes, continuing there: {why}")

    async def send(client: JobClient) -> None:
        uploader.append(Uploader(client, source, progressed, cut))
        await uploader[0].send()

    try:
        host.follow(send)
    except KeyboardInterrupt:
        done = uploader[0].accepted if uploader else 0
        same = "the same input" if is_piped else "the same command"
        warn(f"interrupted at {done} of {source.size_bytes} bytes: {same} continues there")
        raise


def _tell(host: JobHost, job: RemoteJob, *, as_json: bool) -> None:
    if as_json:
        print_object(fields(job))
    else:
        click.echo(
            f"job {job.id}: {job.name}, in the queue of '{job.port_id}' at place {job.place}; "
            f"{host.hint(f'start {job.id}')} starts it"
        )
