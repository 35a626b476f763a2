"""`usbshare-bridge job analyse`: what a program does on a machine, before it runs."""

from __future__ import annotations

from pathlib import Path

import click

from usbshare.analysis.worker_process import analyse_aside
from usbshare.base.event_loop import run
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import told_if_slow
from usbshare.bridge.jobs.analysis_text import as_object, as_text
from usbshare.bridge.jobs.commands.machine_options import known_machine, machine_options
from usbshare.bridge.jobs.program_input import program_input


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@machine_options
@click.option(
    "--passes", type=click.IntRange(1, 1000), default=1, help="How many times the file is run."
)
@json_option("Print JSON.")
@click.pass_context
def analyse(
    context: click.Context,
    file: str,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    settings_file: Path | None,
    baud: int,
    passes: int,
    as_json: bool,
) -> None:
    """Check a FILE of G-code without moving anything: errors, travel, time and data rate.

    FILE may be - for standard input. With --target the machine is asked for its settings; without
    it no host is needed. The exit code is 1 if there are errors.
    """
    machine = known_machine(context, target, bundle, insecure, port, settings_file, baud)
    with program_input(file) as program, told_if_slow(f"analysing {program.name}"):
        found = run(
            analyse_aside(
                program.path,
                machine=machine.facts,
                passes=passes,
                line_bytes_per_s=machine.line_bytes_per_s,
            )
        )
        if as_json:
            print_object(as_object(found, program.name))
        else:
            click.echo(as_text(found, program.name))
    context.exit(1 if found.error_count else 0)
