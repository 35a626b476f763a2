"""The command line of usb-svc."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from usbshare.base.event_loop import run
from usbshare.service.cli import run_command_line, teller
from usbshare.service.command import service_command
from usbshare.service.folders_in_time import Folders
from usbshare.usb_svc.settings import PROGRAM, Settings

HELP = """
Lend this host's USB devices to clients of its site, over mTLS.

One client at a time has the whole device, as if it were plugged in there. Devices that this host
uses are not lent; input devices, network adapters and disks only if [usb] devices lists them. The
service needs root and the kernel's usbip-host.
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    from usbshare.usb_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--listen", help="HOST:PORT where the service listens.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, config: Path | None, listen: str | None, as_json: bool) -> None:
    """Check what lending needs: certificates, the kernel's driver, rights, devices, address."""
    from usbshare.base.checkup import check_up  # noqa: PLC0415 - the service needs neither
    from usbshare.usb_svc.checkup.steps import examined, steps  # noqa: PLC0415

    outer = context.parent.params if context.parent else {}
    what = Folders(teller(PROGRAM.name)).run(
        lambda: examined(config or outer.get("config"), listen or outer.get("listen"))
    )
    if not run(check_up(list(steps(what)), click.echo, as_json=as_json)):
        context.exit(1)


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
