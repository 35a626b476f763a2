"""The options of a bare bridge about its virtual port and configuration, and their meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.bridge.buffered.buffer_size import AUTO, BufferSize
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import Wanted
from usbshare.bridge.commands.saved_choices import PortName, anywhere, save_choice
from usbshare.bridge.defaults import Defaults
from usbshare.bridge.local_ports.usb_address import AUTO_PORT, UsbAddress
from usbshare.bridge.state import KINDS

_COMMANDLINE, _ENVIRONMENT = ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT
_OPTIONS = "'--vcom', '--usb-port', '--tcp' and '--rfc2217'"
_SAVED = ("target", "port", "bundle", "buffered", *KINDS)

_Command = Callable[..., Any]


class _BufferedType(click.ParamType[str]):
    """A size for --buffered; one that is wrong is an error of usage."""

    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            BufferSize.parse(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)
        return value


class _UsbPortType(click.ParamType[str]):
    """Where a USB port is; an address that others could reach is an error of usage."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            UsbAddress.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return value


def buffer_size(context: click.Context) -> BufferSize | None:
    """Return the buffer for lines that are answered early, None for none; raises UsageError.

    It is a choice of the configuration or of one run: another run does not repeat it.
    """
    wishes: Wanted = context.obj
    said = context.params["buffered"]
    if context.params["observe"]:
        if said:
            raise click.UsageError(
                "Give '--observe' or '--buffered', not both: an observer sends nothing."
            )
        return None
    said = said or wishes.defaults.buffered
    return BufferSize.parse(said) if said else None


def virtual_port_options(command: _Command) -> _Command:
    """Add the options that say which virtual port is offered."""
    options = (
        click.option(
            "--vcom",
            metavar="NAME|PATH",
            envvar="USBSHARE_VCOM",
            show_envvar=True,
            help="The virtual COM port to offer: a name such as COM10, or a path.",
        ),
        click.option(
            "--usb-port",
            metavar="HOST:PORT",
            type=_UsbPortType(),
            is_flag=False,
            flag_value=AUTO_PORT,
            envvar="USBSHARE_USB_PORT",
            show_envvar=True,
            help="Instead of a virtual COM port: a USB serial port of this computer, which Linux "
            "makes as root or by a helper; with HOST:PORT, for the USB/IP client that connects "
            "there.",
        ),
        click.option(
            "--tcp",
            metavar="HOST:PORT",
            envvar="USBSHARE_TCP",
            show_envvar=True,
            help=(
                "Instead of a virtual COM port: where to listen for a program that speaks "
                "TCP, such as 127.0.0.1:23."
            ),
        ),
        click.option(
            "--rfc2217",
            metavar="HOST:PORT",
            envvar="USBSHARE_RFC2217",
            show_envvar=True,
            help="Instead of a virtual COM port: where to listen for a program that speaks RFC "
            "2217, such as 127.0.0.1:2217.",
        ),
    )
    return _with(options, command)


def buffered_option(command: _Command) -> _Command:
    """Add the option that says how far motion lines are answered ahead."""
    option = click.option(
        "--buffered",
        metavar="SIZE",
        type=_BufferedType(),
        is_flag=False,
        flag_value=AUTO,
        envvar="USBSHARE_BUFFERED",
        show_envvar=True,
        help="Answer the program's motion lines early, so that a slow link does not starve the "
        f"machine: up to SIZE bytes ahead, such as 16k, or {AUTO} for 2 s of the line.",
    )
    return option(command)


def config_options(command: _Command) -> _Command:
    """Add the options about the configuration."""
    options = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Configuration file, or USBSHARE_CONFIG.",
        ),
        click.option("--check-config", is_flag=True, help="Check the configuration and exit."),
        click.option("--dump-config", is_flag=True, help="Print the settings in force and exit."),
        click.option(
            "--save", is_flag=True, help="Write the options of this command line into [bridge]."
        ),
    )
    return _with(options, command)


def port_name(context: click.Context) -> PortName:
    """Return the one virtual port that is meant; the command line goes before the environment."""
    for source in (_COMMANDLINE, _ENVIRONMENT):
        asked = [PortName(kind, value) for kind, value in _said(context, KINDS, source).items()]
        if len(asked) > 1:
            raise click.UsageError(f"Give exactly one of {_OPTIONS}.")
        if asked:
            return asked[0]
    wishes: Wanted = context.obj
    return _default_port_name(wishes.defaults)


def save(context: click.Context) -> None:
    """Do what --save asks for, and say where."""
    wishes: Wanted = context.obj
    said = _said(context, _SAVED, _COMMANDLINE)
    where = save_choice(wishes.defaults.path, said)
    warn(
        f"saved in {where}: "
        f"{', '.join(said) or 'nothing, because the command line has no options to save'}"
    )


def show_config(context: click.Context, *, check: bool, dump: bool) -> None:
    """Do what --check-config or --dump-config ask for."""
    from usbshare.service.cli import is_about_config  # noqa: PLC0415 - imports pydantic

    wishes: Wanted = context.obj
    settings = wishes.defaults.settings
    said = _said(context, _SAVED, _ENVIRONMENT) | _said(context, _SAVED, _COMMANDLINE)
    in_force = settings.model_copy(update={"bridge": settings.bridge.with_said(said)})
    is_about_config(in_force, wishes.defaults.path, check=check, dump=dump)


def _default_port_name(defaults: Defaults) -> PortName:
    if configured := defaults.virtual_port:
        return PortName(*configured)
    if repeated := defaults.last.virtual_port:
        warn(f"{defaults.as_before}: --{repeated[0]} {repeated[1]}")
        return PortName(*repeated)
    raise click.UsageError(
        "Missing option '--vcom': the virtual COM port, such as COM10 (or '--usb-port', '--tcp' or "
        "'--rfc2217')."
    )


def _said(
    context: click.Context, names: tuple[str, ...], source: ParameterSource
) -> dict[str, str]:
    """Return what the source says of these options, as it means the same in every folder."""
    return {
        name: anywhere(name, str(context.params[name]))
        for name in names
        if context.get_parameter_source(name) is source
    }


def _with(options: tuple[Callable[[_Command], _Command], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
