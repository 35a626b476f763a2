"""The command line of discovery-svc; the only place that reads settings and builds objects."""

from __future__ import annotations

from pathlib import Path

import click

from usbshare.base.legacy.import_settings import Side
from usbshare.base.logs import set_up_logging
from usbshare.base.loop import run
from usbshare.base.settings_in_time import import_older_in_time
from usbshare.discovery_svc.settings import Settings
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
from usbshare.service.commands.install_service import SYSTEM, Shipped, install_service
from usbshare.service.commands.pki import pki_group


@click.group(cls=CommandGroup, invoke_without_command=True, context_settings=CONTEXT)
@service_options("USBSHARE_DISCOVERY_LISTEN")
@version_option("discovery-svc")
@click.pass_context
def cli(
    context: click.Context,
    config: Path | None,
    listen: str | None,
    insecure: bool,
    check_config: bool,
    dump_config: bool,
) -> None:
    """Announce this host's services on the network, and tell which others there are.

    Services of this computer register by themselves; hosts that multicast does not reach are
    listed in the configuration, as [hosts.NAME].
    """
    if context.invoked_subcommand is not None:
        return
    tell = teller("discovery-svc")
    if not (check_config or dump_config):
        import_older_in_time(Side.SERVER, config, tell)
    path, found = settings_in_time(config, Settings, tell)
    settings = _with_flags(found, listen)
    if not is_about_config(settings, path, check=check_config, dump=dump_config):
        table = settings.discovery
        set_up_logging(table.log_level, as_json=table.log_format == "json")
        prepare_to_serve(insecure=insecure)
        from usbshare.discovery_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

        run(serve(settings, insecure=insecure))


cli.add_command(audit_commands("discovery-svc"))
cli.add_command(completion_command("discovery-svc"))
cli.add_command(
    install_service(
        Shipped("discovery-svc", "usbshare.discovery_svc", SYSTEM), teller("discovery-svc")
    )
)
cli.add_command(pki_group("discovery-svc"))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line("discovery-svc", cli)


def _with_flags(settings: Settings, listen: str | None) -> Settings:
    if listen is None:
        return settings
    discovery = settings.discovery.model_copy(update={"listen": listen})
    return settings.model_copy(update={"discovery": discovery})
