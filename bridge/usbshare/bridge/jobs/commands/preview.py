"""`usbshare-bridge job preview`: the tool path as a picture or as segments."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from usbshare.analysis.worker_process import preview_aside
from usbshare.base.event_loop import run
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.jobs.commands.machine_options import known_machine, machine_options
from usbshare.bridge.jobs.machine import KnownMachine
from usbshare.bridge.jobs.program_input import PIPE, ProgramInput, program_input

_OUTPUT = click.Path(dir_okay=False, allow_dash=True)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@machine_options
@click.option("--png", type=_OUTPUT, metavar="OUT", help="File for the picture; - is stdout.")
@click.option("--segments", type=_OUTPUT, metavar="OUT", help="File for the segments as JSON.")
@click.option(
    "--width", type=click.IntRange(64, 4096), default=1024, help="Width of the picture in pixels."
)
@click.option(
    "--from-line",
    type=click.IntRange(min=0),
    default=0,
    help="Draw the lines before this one as done.",
)
@click.pass_context
def preview(
    context: click.Context,
    file: str,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    settings_file: Path | None,
    baud: int,
    png: str | None,
    segments: str | None,
    width: int,
    from_line: int,
) -> None:
    """Draw the tool path of FILE: moves in grey, burnt segments darker with more power.

    The machine's travel is drawn as the bed if it is known: by --target or --settings.
    """
    if png is None and segments is None:
        raise click.UsageError("Missing option '--png' or '--segments': where to write.")
    machine = known_machine(context, target, bundle, insecure, port, settings_file, baud)
    with program_input(file) as program, told_if_slow(f"drawing {program.name}"):
        if png is not None:
            _write(program, png, machine, width, from_line, as_json=False)
        if segments is not None:
            _write(program, segments, machine, width, from_line, as_json=True)


def _write(
    program: ProgramInput,
    output: str,
    machine: KnownMachine,
    width: int,
    from_line: int,
    *,
    as_json: bool,
) -> None:
    with tempfile.TemporaryDirectory(prefix="usbshare-") as folder:
        path = Path(folder) / "preview" if output == PIPE else Path(output)
        drawn = run(
            preview_aside(
                program.path,
                path,
                as_json=as_json,
                machine=machine.facts,
                width_px=width,
                from_line=from_line,
                title=program.name,
            )
        )
        if output == PIPE:
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.flush()
    if drawn.is_cut:
        warn(f"only the first {drawn.segments:,} moves are shown")
