"""`usbshare-bridge job capture`: what a program writes to a port becomes a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import click

from usbshare.analysis.capture import Capture, Ending
from usbshare.base.errors import ConfigError, InvalidArgumentError, UsbshareError
from usbshare.base.event_loop import run
from usbshare.bridge.commands.default_options import port_name, virtual_port_options
from usbshare.bridge.commands.json_option import json_option, print_object
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.jobs.capture_port import capture_from
from usbshare.bridge.jobs.file_source import FileSource
from usbshare.bridge.jobs.machine import facts_of_file
from usbshare.bridge.local_ports.port_makers import PORT_MAKERS

SETTINGS = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File with the machine settings that the program sees: the machine's answer to $$.",
)


@click.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@virtual_port_options
@click.option(
    "--profile",
    type=click.Choice(["grbl"]),
    default="grbl",
    help="The firmware to simulate.",
)
@SETTINGS
@json_option("Print JSON: the file, and how the capture ended.")
@click.pass_context
def capture(
    context: click.Context,
    out: Path,
    vcom: str | None,
    usb_port: str | None,
    tcp: str | None,
    rfc2217: str | None,
    profile: str,
    settings_file: Path | None,
    as_json: bool,
) -> None:
    """Write what a program sends to a virtual port into OUT; no machine moves.

    A simulated controller answers the program at once. The capture ends with M2 or M30, when the
    program closes the port, or with Ctrl-C.
    """
    del (
        vcom,
        usb_port,
        tcp,
        rfc2217,
        profile,
    )  # `port_name` reads the first four; there is one profile
    name = port_name(context)
    port = PORT_MAKERS[name.kind](name.value)
    settings = _settings(settings_file)
    kept = _beside(out)
    try:
        with kept:
            taken = Capture(kept.file, settings)
            ending = run(capture_from(port, taken, _tell_ready))
        if not taken.lines:
            raise UsbshareError(f"nothing was sent to the port; {out} was not written")
        os.replace(kept.name, out)
    finally:
        Path(kept.name).unlink(missing_ok=True)
    _tell_end(out, taken, ending, as_json=as_json)


def captured_source(context: click.Context, settings_file: Path | None) -> FileSource:
    """Capture a job at the virtual port that the command names; `close` it at the end.

    Raises UsbshareError where nothing came, or a person ended it before the program did.
    """
    name = port_name(context)
    port = PORT_MAKERS[name.kind](name.value)
    settings = _settings(settings_file)
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the source closes it
    try:
        taken = Capture(file, settings)
        ending = run(capture_from(port, taken, _tell_ready))
        if ending is Ending.INTERRUPTED or not taken.lines:
            raise UsbshareError("the program sent no complete job, so none was submitted")
        file.flush()
        warn(f"captured {taken.lines:,} lines ({ending.value})")
        return FileSource(file, "captured job")
    except BaseException:
        file.close()
        raise


def _settings(path: Path | None) -> dict[int, float]:
    if path is None:
        return {}
    try:
        return dict(facts_of_file(path).settings)
    except InvalidArgumentError as error:
        raise ConfigError(str(error)) from error


def _beside(out: Path) -> tempfile._TemporaryFileWrapper[bytes]:
    """Open a file that takes the place of OUT once it is whole."""
    return tempfile.NamedTemporaryFile(
        dir=out.absolute().parent, prefix=f".{out.name}.", delete=False
    )


def _tell_ready(path: str) -> None:
    warn(f"capturing: open {path} with your program and start the job there")


def _tell_end(out: Path, taken: Capture, ending: Ending, *, as_json: bool) -> None:
    if as_json:
        print_object(
            {
                "file": str(out),
                "lines": taken.lines,
                "size_bytes": taken.size_bytes,
                "rejected_lines": taken.rejected,
                "ended_by": ending.value,
            }
        )
    else:
        click.echo(f"{out}: {taken.lines:,} lines ({ending.value})")
    if taken.rejected:
        warn(f"{taken.rejected:,} lines were rejected and left out")
