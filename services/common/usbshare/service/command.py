"""The command line of a service: its settings and their checks, then the service itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from usbshare.base.config import TableT
from usbshare.base.event_loop import run
from usbshare.base.legacy.import_settings import Side
from usbshare.base.logs import set_up_logging
from usbshare.base.settings_deadline import import_older_in_time
from usbshare.service.cli import (
    CONTEXT,
    is_about_config,
    prepare_to_serve,
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
from usbshare.service.program import Program

Serve = Callable[[TableT, bool], Coroutine[Any, Any, None]]


def service_command(
    program: Program, model: type[TableT], serve: Serve[TableT], text: str
) -> click.Group:
    """Return a service's command with the subcommands that every service has.

    `serve` gets the settings and whether plaintext was asked for; it imports gRPC, which reads its
    environment then. `text` is the help.
    """
    tell = teller(program.name)

    @click.group(
        cls=CommandGroup,
        invoke_without_command=True,
        context_settings=CONTEXT,
        help=cleandoc(text),
    )
    @service_options(program.listen_variable)
    @version_option(program.name)
    @click.pass_context
    def cli(
        context: click.Context,
        config: Path | None,
        listen: str | None,
        insecure: bool,
        check_config: bool,
        dump_config: bool,
    ) -> None:
        if context.invoked_subcommand is not None:
            return
        if not (check_config or dump_config):
            import_older_in_time(Side.SERVER, config, tell)
        path, found = settings_in_time(config, model, tell)
        settings = program.listening_at(listen, found)
        if not is_about_config(settings, path, check=check_config, dump=dump_config):
            table = program.table(settings)
            set_up_logging(table.log_level, as_json=table.log_format == "json")
            prepare_to_serve(insecure=insecure)
            run(serve(settings, insecure))

    cli.add_command(audit_commands(program.name))
    cli.add_command(completion_command(program.name))
    cli.add_command(install_service(Shipped(program.name, program.package, SYSTEM), tell))
    cli.add_command(pki_group(program.name))
    return cli
