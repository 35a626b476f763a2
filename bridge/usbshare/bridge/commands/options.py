"""The options that say where to connect and with which trust, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError, NotFoundError
from usbshare.base.event_loop import run
from usbshare.base.paths import client_bundle_path
from usbshare.base.settings_deadline import read_in_time
from usbshare.bridge.commands.completers import complete_port, complete_target
from usbshare.bridge.commands.notices import told_if_slow, warn
from usbshare.bridge.defaults import Defaults, UrgentDefaults
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import lifetime

if TYPE_CHECKING:
    from usbshare.hosts.settings import HostTable

_Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to connect and with which trust, as far as somebody said it.

    `target` is what a person wrote, an address or a name, and empty if nobody did. `is_asked`: the
    command line or the environment said it.
    """

    target: str
    is_asked: bool
    bundle: Path | None
    insecure: bool
    defaults: Defaults
    told: set[str] = field(default_factory=set)

    def tell(self, text: str) -> None:
        """Show the user a message, only once however often it is repeated."""
        if text not in self.told:
            self.told.add(text)
            warn(text)


def connection_options(command: _Command) -> _Command:
    """Add the options that say where to connect, and with which trust."""
    options = (
        click.option(
            "--target",
            metavar="NAME|HOST:PORT",
            shell_complete=complete_target,
            envvar="USBSHARE_TARGET",
            show_envvar=True,
            help="The laser host: its address, or its name as `usbshare-bridge discover` shows it.",
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
            help="Use plaintext, only for a service on this computer.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def port_option(command: _Command) -> _Command:
    """Add the option that names the remote port."""
    option = click.option(
        "--port",
        default="",
        envvar="USBSHARE_PORT",
        shell_complete=complete_port,
        help="The remote port's id.",
    )
    return option(command)


def remember_group_options(
    context: click.Context,
    config: Path | None,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
) -> Wanted:
    """Keep what the group's options say, for this command and for its subcommand; return it."""
    kind = UrgentDefaults if context.invoked_subcommand == "stop" else Defaults
    wishes = Wanted(target or "", target is not None, bundle, insecure, kind(config, warn))
    context.obj = wishes
    return wishes


def wanted(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> Wanted:
    """Return what was said: by this command, its group, the configuration, or the last use.

    Raises ConfigError when the configuration is needed and wrong.
    """
    said: Wanted = context.obj
    said = replace(said, insecure=insecure or said.insecure)
    if target is not None and _is_said_here(context, "target"):
        said = replace(said, target=target, is_asked=True)
    if bundle is not None and _is_said_here(context, "bundle"):
        said = replace(said, bundle=bundle)
    return said if said.is_asked else replace(said, target=said.defaults.target)


def be_urgent(context: click.Context) -> None:
    """Have a subcommand neither wait for pydantic nor fail for a mistake in the configuration."""
    config = context.find_root().params.get("config")
    context.obj = replace(context.obj, defaults=UrgentDefaults(config, warn))


def connection(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    kind: str = "serial",
) -> tuple[Target, ClientBundle | None]:
    """Return where and with which trust; what a subcommand leaves out, the group may say.

    A host that discovery knows by name is resolved to its service of that kind.
    """
    wishes = wanted(context, target, bundle, insecure)
    if not wishes.target and not wishes.is_asked:
        raise click.UsageError(
            "Missing option '--target': the laser host, such as laser:50051, or its name as "
            "`usbshare-bridge discover` shows it."
        )
    trusted = trust(wishes)
    return resolved(context, wishes, trusted, kind), trusted


def trust(wishes: Wanted) -> ClientBundle | None:
    """Load the client certificate; None for plaintext."""
    if wishes.insecure:
        wishes.tell("plaintext: the connection is not authenticated (--insecure)")
        return None
    path = wishes.bundle or wishes.defaults.bundle or client_bundle_path()
    loaded = read_in_time(path, lambda: ClientBundle.load(path), warn)
    if loaded.warning:
        wishes.tell(loaded.warning)
    if lifetime.age(loaded.certificate, datetime.now(UTC)) is lifetime.Age.LATE:
        wishes.tell(
            f"the certificate in {loaded.path} expires on {loaded.expires:%Y-%m-%d}: run "
            "`usbshare-bridge renew`"
        )
    return loaded


def resolved(
    context: click.Context, wishes: Wanted, bundle: ClientBundle | None, kind: str = "serial"
) -> Target:
    """Return the address that is wanted; a name is looked up. Raises UsbshareError."""
    if not wishes.is_asked and wishes.defaults.repeats_target:
        wishes.tell(f"{wishes.defaults.as_before}: --target {wishes.target}")
    try:
        return _resolve(wishes, bundle, kind)
    except InvalidArgumentError as error:
        if wishes.is_asked:
            raise click.BadParameter(str(error), context, param_hint="'--target'") from error
        raise ConfigError(f"the configured or last used target: {error}") from error
    except NotFoundError as error:
        if wishes.is_asked or (last := wishes.defaults.last_host) is None:
            raise
        wishes.tell(f"{error}; trying {last}, its last known address")
        return last


def port_or_default(context: click.Context, port: str, target: Target) -> str:
    """Return the port's id: as said, else as configured for or last used with that target."""
    wishes: Wanted = context.obj
    if port:
        return port
    target_text = target.name or str(target)
    if repeated := wishes.defaults.repeated_port(target_text):
        wishes.tell(f"{wishes.defaults.as_before}: --port {repeated}")
    return wishes.defaults.configured_port(target_text) or repeated


def configured_host(wishes: Wanted) -> HostTable | None:
    """Return the host of `[hosts]` that is wanted by its name, None if none has it."""
    settings, folded = wishes.defaults.settings_if_any, wishes.target.strip().casefold()
    hosts = settings.hosts if settings else {}
    return next((host for name, host in hosts.items() if name.casefold() == folded), None)


def is_address(text: str) -> bool:
    """Return whether a target is an IP address, with a port or without, which needs no look-up."""
    try:
        return parse_address(parse_target(text).host) is not None
    except InvalidArgumentError:
        return False  # a name, perhaps


def says_port(text: str) -> bool:
    """Return whether a target names the port, and with it the service."""
    try:
        return split_host_port(text.strip(), 0) == split_host_port(text.strip(), 1)
    except InvalidArgumentError:
        return False  # a friendly name


def _is_said_here(context: click.Context, name: str) -> bool:
    """Return whether this command's own line says it; what the environment says, its group took."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _resolve(wishes: Wanted, bundle: ClientBundle | None, kind: str) -> Target:
    if is_address(wishes.target):
        return parse_target(wishes.target)
    from usbshare.bridge.hosts.name_lookup import resolve  # noqa: PLC0415 - an address does not need it

    settings = wishes.defaults.settings_if_any
    with told_if_slow(f"looking for {wishes.target!r} in DNS and by discovery"):
        return run(resolve(wishes.target, settings, bundle, kind=kind))
