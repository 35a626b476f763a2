"""The command line of serial-svc; the only place that reads settings and builds objects."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from usbshare.base.legacy.import_settings import Side
from usbshare.base.logs import set_up_logging
from usbshare.base.loop import run
from usbshare.base.settings_in_time import import_older_in_time
from usbshare.serial_svc.ports.quarantine import plugged_in_ports
from usbshare.serial_svc.settings import Settings
from usbshare.service.cli import (
    CONTEXT,
    is_about_config,
    prepare_to_serve,
    run_command_line,
    service_options,
    settings_in_time,
    teller,
    version_option,
)
from usbshare.service.command_group import CommandGroup
from usbshare.service.commands.audit import audit_commands
from usbshare.service.commands.completion import completion_command
from usbshare.service.commands.devices import devices_group
from usbshare.service.commands.install_service import SYSTEM, Shipped, install_service
from usbshare.service.commands.pki import pki_group
from usbshare.service.folders_in_time import Folders


@click.group(cls=CommandGroup, invoke_without_command=True, context_settings=CONTEXT)
@service_options("USBSHARE_LISTEN")
@version_option("serial-svc")
@click.pass_context
def cli(
    context: click.Context,
    config: Path | None,
    listen: str | None,
    insecure: bool,
    check_config: bool,
    dump_config: bool,
) -> None:
    """Offer this host's serial ports to clients of its site, over mTLS.

    Without configuration every USB serial port is offered; where there is none, a simulated
    laser as port `demo`.
    """
    if context.invoked_subcommand is not None:
        return
    tell = teller("serial-svc")
    if not (check_config or dump_config):
        import_older_in_time(Side.SERVER, config, tell)
    path, found = settings_in_time(config, Settings, tell)
    settings = _with_flags(found, listen)
    if not is_about_config(settings, path, check=check_config, dump=dump_config):
        set_up_logging(settings.service.log_level, as_json=settings.service.log_format == "json")
        prepare_to_serve(insecure=insecure)
        from usbshare.serial_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

        run(serve(settings, insecure=insecure))


@cli.command()
@click.argument("firmware", type=click.Choice(["grbl", "marlin"]))
@click.option("--pty", "link", type=click.Path(path_type=Path), required=True, help="Its name.")
@click.option("--record", type=click.Path(path_type=Path), help="JSON lines of what happens.")
def simulate(firmware: str, link: Path, record: Path | None) -> None:
    """Play a machine on a pseudo-terminal, for trying things without hardware."""

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
    """Check what this host needs to serve: devices, rights, certificates, address, firewall."""
    from usbshare.base.checkup import check_up  # noqa: PLC0415 - the service needs neither
    from usbshare.serial_svc.checkup.doctor import examined, steps  # noqa: PLC0415

    outer = context.parent.params if context.parent else {}
    what = Folders(teller("serial-svc")).run(
        lambda: examined(config or outer.get("config"), listen or outer.get("listen"))
    )
    if not run(check_up(list(steps(what)), click.echo, as_json=as_json)):
        context.exit(1)


cli.add_command(devices_group("serial-svc", plugged_in_ports))
cli.add_command(audit_commands("serial-svc"))
cli.add_command(completion_command("serial-svc"))
cli.add_command(
    install_service(Shipped("serial-svc", "usbshare.serial_svc", SYSTEM), teller("serial-svc"))
)
cli.add_command(pki_group("serial-svc"))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line("serial-svc", cli)


def _with_flags(settings: Settings, listen: str | None) -> Settings:
    if listen is None:
        return settings
    service = settings.service.model_copy(update={"listen": listen})
    return settings.model_copy(update={"service": service})
