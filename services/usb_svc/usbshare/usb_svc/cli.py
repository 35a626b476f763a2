"""The command line of usb-svc."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from usbshare.service.cli import run_command_line
from usbshare.service.command import service_command
from usbshare.usb_svc.settings import PROGRAM, Settings

HELP = """
Lend this host's USB devices to clients of its site, over mTLS.

A client has the whole device, as if it were plugged in there; what this host uses itself, input
devices, network adapters and disks are not lent. It needs root and the kernel's usbip-host.
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    from usbshare.usb_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
