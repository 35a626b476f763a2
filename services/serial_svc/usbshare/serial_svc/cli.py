"""The command line of serial-svc; the only place that reads settings and builds objects."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import click

from usbshare.common.config import dumps_config, find_config, load_config
from usbshare.common.errors import ConfigError, UsbshareError
from usbshare.common.logs import set_up_logging
from usbshare.common.loop import run
from usbshare.serial_svc.service import serve
from usbshare.serial_svc.settings import Settings

CONFIG_EXIT = 2


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file, or USBSHARE_CONFIG."
)
@click.option(
    "--listen", envvar="USBSHARE_LISTEN", show_envvar=True, help="HOST:PORT to listen at."
)
@click.option(
    "--insecure",
    is_flag=True,
    envvar="USBSHARE_INSECURE",
    show_envvar=True,
    help="Plaintext, loopback only.",
)
@click.option("--check-config", is_flag=True, help="Check the configuration and exit.")
@click.option("--dump-config", is_flag=True, help="Print the settings in force and exit.")
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
    path = find_config(config)
    settings = _with_flags(load_config(path, Settings), listen)
    if dump_config:
        _dump(settings)
    elif check_config:
        click.echo(f"{path or 'no configuration file'}: correct")
    else:
        set_up_logging(settings.service.log_level, as_json=settings.service.log_format == "json")
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
    from usbshare.serial_svc.simulate import simulate_on_pty  # noqa: PLC0415

    with suppress(KeyboardInterrupt):
        asyncio.run(simulate_on_pty(firmware, link, ready=ready, record_path=record))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    try:
        cli.main(standalone_mode=True)
    except ConfigError as error:
        _fail(error, CONFIG_EXIT)
    except UsbshareError as error:
        _fail(error, 1)


def _with_flags(settings: Settings, listen: str | None) -> Settings:
    if listen is None:
        return settings
    service = settings.service.model_copy(update={"listen": listen})
    return settings.model_copy(update={"service": service})


def _dump(settings: Settings) -> None:
    click.echo(dumps_config(settings), nl=False)


def _fail(error: UsbshareError, code: int) -> None:
    for line in str(error).splitlines():
        click.echo(f"serial-svc: {line}", err=True)
    sys.exit(code)
