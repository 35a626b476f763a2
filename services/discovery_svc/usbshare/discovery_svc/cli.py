"""The command line of discovery-svc."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from usbshare.discovery_svc.settings import PROGRAM, Settings
from usbshare.service.cli import run_command_line
from usbshare.service.command import service_command

HELP = """
Announce this host's services on the network, and list the other hosts there.

Services of this computer register by themselves; list hosts that multicast does not reach in the
configuration, as [hosts.NAME].
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    from usbshare.discovery_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
