"""`usbshare-bridge job`: programs that a machine is to run."""

from __future__ import annotations

import click

from usbshare.bridge.commands.lazy_group import LazyGroup

_COMMANDS = {
    "analyse": "usbshare.bridge.jobs.commands.analyse:analyse",
    "preview": "usbshare.bridge.jobs.commands.preview:preview",
}


class _JobCommands(LazyGroup):
    """The subcommands; `HINTS` are spellings that people try."""

    LAZY = _COMMANDS
    HINTS = {"analyze": "usbshare-bridge job analyse"}  # noqa: RUF012 - as its base declares it


@click.group(cls=_JobCommands)
def job() -> None:
    """Check, show and run programs of G-code."""
