"""`usbshare-bridge usb attach` and `detach`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from usbshare.base.errors import NotFoundError, UsbshareError
from usbshare.base.event_loop import on_stop_signals, run
from usbshare.bridge.commands.confirmation import code_option, run_confirmed
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import connection_options
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.bridge.usb.commands.hosts import MATCH, surveyed
from usbshare.bridge.usb.keeping import Keeping
from usbshare.bridge.usb.layers import with_layer
from usbshare.bridge.usb.records import end, own_record, records
from usbshare.bridge.usb.survey import choose


@click.command()
@connection_options
@click.argument("device", default="")
@MATCH
@click.option("--first", is_flag=True, help="If several devices match, use the first free one.")
@click.option(
    "--keep",
    is_flag=True,
    help="Attach again after the link or the device was lost, until `detach`.",
)
@code_option
@click.pass_context
def attach(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    device: str,
    match: str,
    first: bool,
    keep: bool,
    code: str,
) -> None:
    """Plug DEVICE of a host into this computer, until Ctrl-C or `detach`.

    DEVICE is an id that `list` shows; it may be left out where only one device matches. Errors
    name their layer: network, protocol, device or system.
    """
    found, trusted = surveyed(context, target, bundle, insecure)
    meant = choose(found.found, device, match, first=first)
    with own_record() as record:
        keeping = Keeping(meant, trusted, client_name("bridge"), record, warn)
        try:
            run_confirmed(run, lambda: _until_stopped(keeping, keep), meant.target, trusted, code)
        except UsbshareError as error:
            raise type(error)(with_layer(error)) from error


@click.command()
@click.argument("device", default="")
@click.option("--all", "everything", is_flag=True, help="All devices that are attached here.")
def detach(device: str, everything: bool) -> None:
    """Unplug DEVICE, attached by this user, from this computer; --keep does not bring it back."""
    if bool(device) == everything:
        raise click.UsageError("Give DEVICE or '--all'.")
    attached = records()
    meant = [each for each in attached if everything or each.device == device]
    if not meant and not everything:
        there = ", ".join(each.device for each in attached) or "none"
        raise NotFoundError(f"'{device}' is not attached here; attached: {there}")
    for each in meant:
        end(each)
        warn(f"detached {each.device} of {each.host}")


async def _until_stopped(keeping: Keeping, keep: bool) -> None:
    keeper = asyncio.create_task(keeping.run(keeps=keep), name="attachment")
    on_stop_signals(keeper.cancel)
    try:
        await keeper
    except asyncio.CancelledError:
        if not keeper.cancelled():
            raise
