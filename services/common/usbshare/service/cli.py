"""What the command line of every service has in common."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from usbshare.base.config import Table, TableT, dumps_config, load_config
from usbshare.base.config_search import find_config
from usbshare.base.errors import ConfigError, UsbshareError
from usbshare.base.open_files import allow_most_open_files
from usbshare.base.os_errors import in_words
from usbshare.base.settings_deadline import asked_path, read_in_time
from usbshare.line.stale_links import remove_stale_links
from usbshare.rpc.grpc_environment import trace_handshakes

_log = logging.getLogger(__name__)

CONFIG_EXIT = 2
CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}

_Command = TypeVar("_Command", bound=Callable[..., Any])
_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file, or USBSHARE_CONFIG."
)
_OTHERS = (
    click.option(
        "--insecure",
        is_flag=True,
        envvar="USBSHARE_INSECURE",
        show_envvar=True,
        help="Use plaintext, loopback only.",
    ),
    click.option("--check-config", is_flag=True, help="Check the configuration and exit."),
    click.option("--dump-config", is_flag=True, help="Print the settings in force and exit."),
)


def service_options(listen_variable: str) -> Callable[[_Command], _Command]:
    """Add config, listen, insecure, check_config and dump_config to a command."""
    listen = click.option(
        "--listen", envvar=listen_variable, show_envvar=True, help="HOST:PORT to listen at."
    )

    def add(command: _Command) -> _Command:
        for option in reversed((_CONFIG, listen, *_OTHERS)):
            command = option(command)
        return command

    return add


def version_option(name: str) -> Callable[[_Command], _Command]:
    """Add --version to a program's command."""
    return click.version_option(package_name="usbshare", message=f"{name} %(version)s")


def settings_in_time(
    asked: Path | None, model: type[TableT], tell: Callable[[str], None]
) -> tuple[Path | None, TableT]:
    """Return the settings and the file that has them; raises ConfigError, also if that hangs."""

    def read() -> tuple[Path | None, TableT]:
        path = find_config(asked)
        return path, load_config(path, model)

    return read_in_time(asked_path(asked), read, tell)


def is_about_config(settings: Table, path: Path | None, *, check: bool, dump: bool) -> bool:
    """Handle --dump-config and --check-config; False if neither was given."""
    if dump:
        click.echo(dumps_config(settings), nl=False)
    elif check:
        click.echo(f"{path or 'no configuration file'}: correct")
    return dump or check


def prepare_to_serve(*, insecure: bool) -> None:
    """Prepare a serving process, before it imports gRPC."""
    if not insecure:
        trace_handshakes()
    allow_most_open_files()
    remove_stale_links()


def teller(name: str) -> Callable[[str], None]:
    """Return what shows the user a message, on stderr if that accepts it."""

    def tell(text: str) -> None:
        with suppress(OSError):  # a full disk behind stderr must not stop anything
            for line in text.splitlines():
                click.echo(f"{name}: {line}", err=True)

    return tell


def run_command_line(name: str, cli: click.Command) -> None:
    """Run a service's command line; every error is a clear line, 2 for a bad configuration."""
    try:
        cli.main(standalone_mode=True)
    except ConfigError as error:
        _fail(name, error, CONFIG_EXIT)
    except UsbshareError as error:
        _fail(name, error, 1)
    except OSError as error:
        if error.errno is None:  # such as a timeout: without a file or an address
            raise
        _log.debug("the system refused something", exc_info=error)
        _fail(name, in_words(error), 1)


def _fail(name: str, error: object, code: int) -> None:
    teller(name)(str(error))
    sys.exit(code)
