"""`usbshare-bridge job`: programs that a machine is to run."""

from __future__ import annotations

import click

from usbshare.bridge.commands.lazy_group import LazyGroup

_COMMANDS = {
    "analyse": "usbshare.bridge.jobs.commands.analyse:analyse",
    "cancel": "usbshare.bridge.jobs.commands.steer:cancel",
    "delete": "usbshare.bridge.jobs.commands.queue:delete",
    "hand-over": "usbshare.bridge.jobs.commands.steer:hand_over",
    "history": "usbshare.bridge.jobs.commands.listing:history",
    "hold": "usbshare.bridge.jobs.commands.steer:hold",
    "list": "usbshare.bridge.jobs.commands.listing:list_jobs",
    "capture": "usbshare.bridge.jobs.commands.capture:capture",
    "preview": "usbshare.bridge.jobs.commands.preview:preview",
    "reorder": "usbshare.bridge.jobs.commands.queue:reorder",
    "resume": "usbshare.bridge.jobs.commands.steer:resume",
    "show": "usbshare.bridge.jobs.commands.listing:show",
    "start": "usbshare.bridge.jobs.commands.steer:start",
    "submit": "usbshare.bridge.jobs.commands.submit:submit",
    "watch": "usbshare.bridge.jobs.commands.watch:watch",
}


class _JobCommands(LazyGroup):
    """The subcommands; `HINTS` are spellings that people try."""

    LAZY = _COMMANDS
    HINTS = {  # noqa: RUF012 - as its base declares it
        "add": "usbshare-bridge job submit",
        "analyze": "usbshare-bridge job analyse",
        "handover": "usbshare-bridge job hand-over",
        "pause": "usbshare-bridge job hold",
        "release": "usbshare-bridge job hand-over",
        "status": "usbshare-bridge job watch",
        "stop": "usbshare-bridge job hold` or `usbshare-bridge stop",
    }


@click.group(cls=_JobCommands)
def job() -> None:
    """Check, show and run programs of G-code.

    A job is stored on the host and streamed to its machine there, even if this computer is
    switched off. Nothing starts automatically. JOB is the number that `submit` prints.
    """
