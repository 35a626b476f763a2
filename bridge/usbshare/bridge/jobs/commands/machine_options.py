"""The options that say which machine a job is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.bridge.commands.notices import told_run
from usbshare.bridge.commands.options import (
    connection,
    connection_options,
    port_option,
    port_or_default,
)
from usbshare.bridge.jobs.machine import KnownMachine, facts_of_file, facts_of_host
from usbshare.line.settings import LineSettings

_Command = Callable[..., Any]


def machine_options(command: _Command) -> _Command:
    """Add the options that `known_machine` takes."""
    options = (
        connection_options,
        port_option,
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Machine settings from a file: what it answers to $$, and to $# if you have it.",
        ),
        click.option(
            "--baud",
            type=click.IntRange(min=0),
            default=115200,
            help="Rate of the machine's line if no host is asked; 0 for no limit.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def known_machine(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    settings_file: Path | None,
    baud: int,
) -> KnownMachine:
    """Return what is known of the machine: from a file, from the host of `--target`, or nothing.

    A target that only the environment names is not asked: a file can be looked at without a host.
    """
    bytes_per_s = LineSettings(baud=baud).bytes_per_s if baud else 0.0
    if settings_file is not None:
        if _is_asked(context):
            raise click.UsageError("Give '--settings' or '--target', not both.")
        try:
            return KnownMachine(facts_of_file(settings_file), bytes_per_s)
        except InvalidArgumentError as error:
            raise ConfigError(str(error)) from error
    if not _is_asked(context):
        return KnownMachine(None, bytes_per_s)
    where, trust = connection(context, target, bundle, insecure)
    port = port_or_default(context, port, where)
    return told_run(where)(facts_of_host(where, trust, port))


def _is_asked(context: click.Context) -> bool:
    levels = (context, context.find_root())
    return any(
        each.get_parameter_source("target") is ParameterSource.COMMANDLINE for each in levels
    )
