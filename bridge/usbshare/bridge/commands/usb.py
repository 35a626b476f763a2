"""`usbshare-bridge usb`: USB devices of hosts, plugged into this computer."""

from __future__ import annotations

import click

from usbshare.bridge.commands.lazy_group import LazyGroup

_COMMANDS = {
    "attach": "usbshare.bridge.usb.commands.attaching:attach",
    "detach": "usbshare.bridge.usb.commands.attaching:detach",
    "list": "usbshare.bridge.usb.commands.listing:list_devices",
    "status": "usbshare.bridge.usb.commands.listing:status",
}


class _UsbCommands(LazyGroup):
    """The subcommands; `HINTS` are spellings that people try."""

    LAZY = _COMMANDS
    HINTS = {  # noqa: RUF012 - as its base declares it
        "bind": "usb-svc` on the host, then `usbshare-bridge usb attach",
        "port": "usbshare-bridge usb status",
        "unbind": "usbshare-bridge usb detach",
    }


@click.group(cls=_UsbCommands)
def usb() -> None:
    """Use USB devices of hosts as if they were plugged in here.

    A host with usb-svc lends a device as a whole, to one computer at a time. Linux only.
    """
