"""The command line of serial-svc."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from usbshare.base.event_loop import run
from usbshare.serial_svc.ports.quarantine import plugged_in_ports
from usbshare.serial_svc.settings import PROGRAM, Settings
from usbshare.service.cli import run_command_line, settings_in_time, teller
from usbshare.service.command import service_command
from usbshare.service.commands.devices import devices_group
from usbshare.service.folders_in_time import Folders

HELP = """
Offer this host's serial ports to clients of its site, over mTLS.

Without configuration the service offers every USB serial port; if there is none, it offers a
simulated laser as port `demo`.
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    from usbshare.serial_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)
cli.add_command(devices_group(PROGRAM.name, plugged_in_ports))


@cli.command()
@click.argument("firmware", type=click.Choice(["grbl", "marlin"]))
@click.option(
    "--pty",
    "link",
    type=click.Path(path_type=Path),
    required=True,
    help=("Path of the pseudo-terminal's link."),
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    help=("Record what happens as JSON lines in this file."),
)
def simulate(firmware: str, link: Path, record: Path | None) -> None:
    """Simulate a machine on a pseudo-terminal, to try things without hardware."""

    def ready(line: str) -> None:
        click.echo(line, err=True)

    # Needs ptys, which Windows has not.
    from usbshare.sim.simulate import simulate_on_pty  # noqa: PLC0415

    with suppress(KeyboardInterrupt):
        run(simulate_on_pty(firmware, link, ready=ready, record_path=record))


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--listen", help="HOST:PORT where the service listens.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, config: Path | None, listen: str | None, as_json: bool) -> None:
    """Check what this host needs: devices, permissions, certificates, address, firewall."""
    from usbshare.base.checkup import check_up  # noqa: PLC0415 - the service needs neither
    from usbshare.serial_svc.checkup.steps import examined, steps  # noqa: PLC0415

    outer = context.parent.params if context.parent else {}
    what = Folders(teller(PROGRAM.name)).run(
        lambda: examined(config or outer.get("config"), listen or outer.get("listen"))
    )
    if not run(check_up(list(steps(what)), click.echo, as_json=as_json)):
        context.exit(1)


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--listen", help="HOST:PORT where the service listens.")
@click.option("--insecure", is_flag=True, help="Ask a service that runs with --insecure.")
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    metavar="SECONDS",
    help="With --watch: time between two views.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, one a line.")
@click.pass_context
def status(
    context: click.Context,
    config: Path | None,
    listen: str | None,
    insecure: bool,
    watch: bool,
    interval_s: float,
    as_json: bool,
) -> None:
    """Show what the machines of this host are doing, as its running service says."""
    from usbshare.client.status import own_host  # noqa: PLC0415 - gRPC reads its settings then

    outer, tell = context.parent.params if context.parent else {}, teller(PROGRAM.name)
    _, settings = settings_in_time(config or outer.get("config"), Settings, tell)
    settings = PROGRAM.listening_at(listen or outer.get("listen"), settings)
    bundle = None
    if not (insecure or outer.get("insecure")):
        bundle = Folders(tell).run(own_host.operator_bundle)
    _, others = settings_in_time(config or outer.get("config"), own_host.JobSettings, tell)
    own = own_host.OwnHost(settings.service.listen, bundle, others.job.listen)
    if watch:
        run(own.watch(interval_s, sys.stdout, click.echo, as_json=as_json))
    else:
        click.echo(run(own.look(as_json=as_json)))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
