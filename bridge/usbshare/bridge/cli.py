"""The command line of the bridge; the only place that reads options and builds objects.

`stop` must not wait for what it does not need, so every command is imported where it begins.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from usbshare.base.errors import ConfigError, PermissionDeniedError, UsbshareError
from usbshare.base.legacy.import_settings import Side
from usbshare.base.settings_deadline import import_older_in_time
from usbshare.bridge.commands import default_options
from usbshare.bridge.commands.completers import complete_port
from usbshare.bridge.commands.confirmation import code_option
from usbshare.bridge.commands.default_options import (
    buffered_option,
    config_options,
    virtual_port_options,
)
from usbshare.bridge.commands.json_option import (
    arguments_ask_for_json,
    print_error,
    run_with_json_errors,
)
from usbshare.bridge.commands.lazy_group import LazyGroup
from usbshare.bridge.commands.match_option import check_match, match_option
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options, remember_group_options
from usbshare.bridge.hosts.match_filter import Criterion
from usbshare.bridge.stop.arguments import is_stop
from usbshare.client.serial.link_state import LinkLostError

NAME = "usbshare-bridge"
BAD_USAGE_EXIT = 2
# Of a bridge that the host will not have, so that nothing starts it again: see its unit.
REFUSED_EXIT = 3
_COMMANDS = {
    "camera": "usbshare.bridge.commands.camera:camera",
    "completion": "usbshare.bridge.commands.completion:completion",
    "console": "usbshare.bridge.commands.console:console",
    "doctor": "usbshare.bridge.commands.doctor:doctor",
    "discover": "usbshare.bridge.commands.discover:discover",
    "enroll": "usbshare.bridge.commands.enroll:enroll",
    "install-service": "usbshare.bridge.commands.install_service:install_service_command",
    "install-usb-helper": "usbshare.bridge.commands.install_usb_helper:install_usb_helper",
    "job": "usbshare.bridge.commands.job:job",
    "list": "usbshare.bridge.commands.list_ports:list_ports",
    "panel": "usbshare.bridge.commands.panel:panel",
    "renew": "usbshare.bridge.commands.renew:renew",
    "reset": "usbshare.bridge.commands.reset:reset",
    "send": "usbshare.bridge.commands.send:send",
    "status": "usbshare.bridge.commands.status:status",
    "stop": "usbshare.bridge.commands.stop:stop",
    "usb": "usbshare.bridge.commands.usb:usb",
    "whoami": "usbshare.bridge.commands.whoami:whoami",
}
# What people try that is done elsewhere.
_HINTS = {
    "hold": "usbshare-bridge stop --hold",
    "door": "usbshare-bridge stop --door",
    "resume": "usbshare-bridge stop --resume",
    "rearm": "usbshare-bridge stop --rearm",
    "invite": "serial-svc pki invite` on the host, then `usbshare-bridge enroll STRING",
    "pki": "serial-svc pki` on the host, then `usbshare-bridge enroll STRING",
    "submit": "usbshare-bridge job submit",
    "jobs": "usbshare-bridge job list",
    "run": "usbshare-bridge` without a command",
    "connect": "usbshare-bridge` without a command",
}


class _Commands(LazyGroup):
    """The subcommands."""

    LAZY = _COMMANDS
    HINTS = _HINTS


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@connection_options
@virtual_port_options
@buffered_option
@click.option(
    "--port",
    default="",
    envvar="USBSHARE_PORT",
    shell_complete=complete_port,
    show_envvar=True,
    help="The remote port's id; needed only if the host has several.",
)
@match_option
@click.option("--first", is_flag=True, help="Use the first port if several match.")
@click.option("--observe", is_flag=True, help="Only read; another client may hold the port.")
@code_option
@config_options
@click.option(
    "--wait",
    is_flag=True,
    help=(
        "Wait for a host that is not up yet, or for a port that another client holds; its "
        "holder is asked."
    ),
)
@click.option(
    "--take", is_flag=True, help="Take control from its holder; needs the right to administer."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON on stdout: events as lines, or a subcommand's result; errors too.",
)
@click.option("--no-status", is_flag=True, help="With --json: print only events, no status lines.")
@click.version_option(package_name="usbshare", message="usbshare-bridge %(version)s")
@click.pass_context
def cli(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    vcom: str | None,
    usb_port: str | None,
    tcp: str | None,
    rfc2217: str | None,
    buffered: str | None,
    port: str,
    criteria: Sequence[Criterion],
    first: bool,
    observe: bool,
    code: str,
    save: bool,
    config: Path | None,
    check_config: bool,
    dump_config: bool,
    wait: bool,
    take: bool,
    as_json: bool,
    no_status: bool,
) -> None:
    """Offer a remote serial port as a virtual COM port on this computer.

    Options that are not given come from [bridge] of the configuration, or else from the last run.
    """
    wishes = remember_group_options(context, config, target, bundle, insecure)
    check_match(context)
    if take and observe:
        raise click.UsageError("Give '--take' or '--observe', not both.")
    if not (check_config or dump_config or context.invoked_subcommand == "stop"):
        import_older_in_time(Side.CLIENT, config, warn)
        _remove_stale_links()
    if context.invoked_subcommand is not None:
        return
    if check_config or dump_config:
        default_options.show_config(context, check=check_config, dump=dump_config)
        return
    from usbshare.bridge.commands.default_command import Said, run_bridge  # noqa: PLC0415 - see the top

    said = Said(
        target,
        bundle,
        insecure,
        port,
        criteria,
        first,
        observe,
        take,
        wait,
        code,
        save,
        as_json,
        no_status,
    )
    try:
        run_bridge(context, wishes, said)
    except PermissionDeniedError as error:
        _fail(error, REFUSED_EXIT, as_json=as_json)


def main() -> None:
    """Run the command line; every error is one clear line, 2 for bad usage.

    With --json it is a JSON line on stdout too; those of `stop` are its guard's.
    """
    arguments = sys.argv[1:]
    as_json = arguments_ask_for_json(arguments) and not is_stop(arguments)
    fail = partial(_fail, as_json=as_json)
    try:
        if as_json:
            run_with_json_errors(cli, NAME, warn)
        cli.main(prog_name=NAME, standalone_mode=True)
    except ConfigError as error:
        fail(error, BAD_USAGE_EXIT)
    except (UsbshareError, LinkLostError) as error:
        fail(error, 1)
    except OSError as error:
        if error.errno is None:  # a timeout, say: none of a file or a stream
            raise
        from usbshare.base.os_errors import in_words  # noqa: PLC0415 - seldom needed

        fail(in_words(error), 1)


def _remove_stale_links() -> None:
    from usbshare.line.stale_links import remove_stale_links  # noqa: PLC0415 - see the top

    remove_stale_links()


def _fail(error: Exception | str, code: int, *, as_json: bool) -> None:
    if as_json:
        print_error(str(error), code)
    warn(str(error))
    sys.exit(code)
