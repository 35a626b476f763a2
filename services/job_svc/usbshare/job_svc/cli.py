"""The command line of job-svc."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from usbshare.job_svc.settings import PROGRAM, Settings
from usbshare.service.cli import run_command_line
from usbshare.service.command import service_command

HELP = """
Store G-code programs on this host, and run them on the ports of its serial service.

It is a client of serial-svc like any other, with its own identity, `job-svc`: a job continues
while the PC that submitted it is asleep. Nothing starts automatically.
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    from usbshare.job_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
