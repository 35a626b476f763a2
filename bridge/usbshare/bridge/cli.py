"""The command line of the bridge; the only place that reads options and builds objects.

`stop` must not wait for what it does not need, so what the other commands need is imported where
they begin.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from usbshare.bridge import stopping
from usbshare.bridge.client import SerialClient
from usbshare.common.channel import Target, parse_target
from usbshare.common.errors import ConfigError, InvalidArgumentError, UsbshareError
from usbshare.common.loop import run
from usbshare.common.paths import client_bundle_path
from usbshare.common.profiles import Priority, StopAction
from usbshare.common.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.bridge.messages import RemotePort
    from usbshare.bridge.sending import Answer
    from usbshare.bridge.virtual_port import VirtualPort

BAD_USAGE_EXIT = 2
_Command = Callable[..., Any]


class TargetType(click.ParamType[Target]):
    """HOST:PORT; the port may be left out."""

    name = "HOST:PORT"

    def convert(
        self, value: str | Target, param: click.Parameter | None, ctx: click.Context | None
    ) -> Target:
        """Return the target or fail with what is wrong with it."""
        if isinstance(value, Target):
            return value
        try:
            return parse_target(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


def connection_options(command: _Command) -> _Command:
    """Add the options that say where to connect, and with which trust."""
    options = (
        click.option(
            "--target",
            type=TargetType(),
            envvar="USBSHARE_TARGET",
            show_envvar=True,
            help="Where the serial service listens.",
        ),
        click.option(
            "--bundle",
            type=click.Path(path_type=Path),
            envvar="USBSHARE_BUNDLE",
            show_envvar=True,
            help="Client certificate; by default client.pem in the configuration folder.",
        ),
        click.option(
            "--insecure",
            is_flag=True,
            envvar="USBSHARE_INSECURE",
            show_envvar=True,
            help="Plaintext, to a service on this computer only.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@connection_options
@click.option(
    "--vcom",
    metavar="NAME|PATH",
    envvar="USBSHARE_VCOM",
    show_envvar=True,
    help="The virtual COM port to offer: a name such as COM10, or a path.",
)
@click.option(
    "--tcp",
    metavar="HOST:PORT",
    envvar="USBSHARE_TCP",
    show_envvar=True,
    help="Instead: where to listen for a program that speaks TCP, such as 127.0.0.1:23.",
)
@click.option(
    "--rfc2217",
    metavar="HOST:PORT",
    envvar="USBSHARE_RFC2217",
    show_envvar=True,
    help="Instead: where to listen for a program that speaks RFC 2217, such as 127.0.0.1:2217.",
)
@click.option(
    "--port",
    default="",
    envvar="USBSHARE_PORT",
    show_envvar=True,
    help="The remote port's id; needed only when the host has several.",
)
@click.option("--observe", is_flag=True, help="Only read; others may hold the port.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines on stdout.")
@click.pass_context
def cli(
    context: click.Context,
    target: Target | None,
    bundle: Path | None,
    insecure: bool,
    vcom: str | None,
    tcp: str | None,
    rfc2217: str | None,
    port: str,
    observe: bool,
    as_json: bool,
) -> None:
    """Offer a remote serial port as a virtual COM port on this computer."""
    if context.invoked_subcommand is not None:
        context.obj = (target, bundle, insecure)
        return
    from usbshare.bridge.bridging import BridgeChoice, bridge  # noqa: PLC0415 - see the top
    from usbshare.bridge.report import JsonReporter, TextReporter  # noqa: PLC0415

    virtual_port = _virtual_port(context, {"vcom": vcom, "tcp": tcp, "rfc2217": rfc2217})
    where, trust = _connection(context, target, bundle, insecure)
    reporter = JsonReporter() if as_json else TextReporter()
    choice = BridgeChoice(where, trust, port, observe)
    run(bridge(choice, virtual_port, reporter))


@cli.command("list")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_ports(
    context: click.Context,
    target: Target | None,
    bundle: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Show the ports of a host."""
    from usbshare.bridge import listing  # noqa: PLC0415 - see the top

    where, trust = _connection(context, target, bundle, insecure)
    ports = run(_list(where, trust))
    click.echo(listing.as_json(ports) if as_json else listing.as_table(ports))


@cli.command()
@connection_options
@click.option("--port", default="", envvar="USBSHARE_PORT", help="The remote port's id.")
@click.option(
    "--priority",
    type=click.Choice([priority.name.lower() for priority in Priority]),
    help="How urgent; by default what the firmware's profile says of the command.",
)
@click.option("--timeout", "timeout_s", default=30.0, help="Seconds to wait for the answer.")
@click.option("--quiet", "quiet_s", default=1.0, help="Seconds of silence that end an answer.")
@click.argument("command")
@click.pass_context
def send(
    context: click.Context,
    target: Target | None,
    bundle: Path | None,
    insecure: bool,
    port: str,
    priority: str | None,
    timeout_s: float,
    quiet_s: float,
    command: str,
) -> None:
    """Send one COMMAND line and print the answer."""
    where, trust = _connection(context, target, bundle, insecure)
    level = Priority[priority.upper()] if priority else None
    answer = run(_send(where, trust, port, command.encode(), level, quiet_s, timeout_s))
    sys.stdout.buffer.write(answer.data.replace(b"\r\n", b"\n"))
    sys.stdout.flush()
    queue_ms, write_ms = answer.queue_time_s * 1e3, answer.write_time_s * 1e3
    click.echo(f"waited {queue_ms:.2f} ms, written in {write_ms:.2f} ms", err=True)


@cli.command()
@connection_options
@click.option("--hold", is_flag=True, help="Hold the machine; the beam may stay on.")
@click.option("--door", is_flag=True, help="Hold the machine with the beam off.")
@click.option("--resume", is_flag=True, help="Go on after a hold.")
@click.option("--rearm", is_flag=True, help="Let programs write again after an emergency stop.")
@click.option("--port", default="", envvar="USBSHARE_PORT", help="The remote port's id.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the host's log.")
@click.pass_context
def stop(
    context: click.Context,
    target: Target | None,
    bundle: Path | None,
    insecure: bool,
    hold: bool,
    door: bool,
    resume: bool,
    rearm: bool,
    port: str,
    reason: str,
) -> None:
    """Stop the machine at once, whoever uses it: an emergency stop, unless an option says else."""
    if hold + door + resume + rearm > 1:
        raise click.UsageError("Give at most one of '--hold', '--door', '--resume' and '--rearm'.")
    where, trust = _connection(context, target, bundle, insecure)
    actions = {StopAction.HOLD: hold, StopAction.SAFETY_DOOR: door, StopAction.RESUME: resume}
    asked = (action for action, is_asked in actions.items() if is_asked)
    action = None if rearm else next(asked, StopAction.EMERGENCY_STOP)
    click.echo(asyncio.run(_stop(where, trust, port, action, reason)))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for bad usage."""
    try:
        cli.main(standalone_mode=True)
    except ConfigError as error:
        _fail(error, BAD_USAGE_EXIT)
    except UsbshareError as error:
        _fail(error, 1)


async def _stop(
    target: Target,
    bundle: ClientBundle | None,
    port: str,
    action: StopAction | None,
    reason: str,
) -> str:
    """Stop, or re-arm where there is no action."""
    client = SerialClient(target, bundle)
    try:
        if action is None:
            return await stopping.rearm(client, port)
        return await stopping.stop(client, port, action, reason)
    finally:
        await client.close()


async def _list(target: Target, bundle: ClientBundle | None) -> list[RemotePort]:
    client = SerialClient(target, bundle)
    try:
        return await client.list_ports()
    finally:
        await client.close()


async def _send(
    target: Target,
    bundle: ClientBundle | None,
    port: str,
    line: bytes,
    priority: Priority | None,
    quiet_s: float,
    timeout_s: float,
) -> Answer:
    from usbshare.bridge.bridging import client_name  # noqa: PLC0415 - see the top
    from usbshare.bridge.sending import send_command  # noqa: PLC0415

    client = SerialClient(target, bundle)
    try:
        name = client_name("bridge send")
        return await send_command(
            client, port, line, priority, name, quiet_s=quiet_s, timeout_s=timeout_s
        )
    finally:
        await client.close()


def _virtual_port(context: click.Context, offered: dict[str, str | None]) -> VirtualPort:
    """Return the one port that is asked for; the command line goes before the environment."""
    from usbshare.bridge.port_makers import PORT_MAKERS  # noqa: PLC0415 - see the top

    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        asked = [
            PORT_MAKERS[name](value)
            for name, value in offered.items()
            if value is not None and context.get_parameter_source(name) is source
        ]
        if len(asked) > 1:
            raise click.UsageError("Give exactly one of '--vcom', '--tcp' and '--rfc2217'.")
        if asked:
            return asked[0]
    raise click.UsageError(
        "Missing option '--vcom': the virtual COM port, such as COM10 (or '--tcp' or '--rfc2217')."
    )


def _connection(
    context: click.Context, target: Target | None, bundle: Path | None, insecure: bool
) -> tuple[Target, ClientBundle | None]:
    """Return where and with which trust; what a subcommand leaves out, the group may say."""
    outer = context.obj or (None, None, False)
    target, bundle, insecure = target or outer[0], bundle or outer[1], insecure or outer[2]
    if target is None:
        raise click.UsageError("Missing option '--target': the laser host, such as laser:50051.")
    if insecure:
        click.echo("bridge: plaintext: nobody is authenticated (--insecure)", err=True)
        return target, None
    loaded = ClientBundle.load(bundle or client_bundle_path())
    if loaded.warning:
        click.echo(f"bridge: {loaded.warning}", err=True)
    return target, loaded


def _fail(error: UsbshareError, code: int) -> None:
    for line in str(error).splitlines():
        click.echo(f"bridge: {line}", err=True)
    sys.exit(code)
