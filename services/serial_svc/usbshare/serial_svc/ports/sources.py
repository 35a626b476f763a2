"""Turns a port's source into a device: a path, a URL, a USB identity, or a simulated machine.

A device behind another computer's USB/IP server is treated like any other.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.line.settings import Device, LineSettings
from usbshare.line.threaded.device import ThreadedDevice
from usbshare.line.usb.serial_devices import parse_usb_name
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.seen import SeenDevices
from usbshare.line.usbip.source import is_remote, parse_source
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.device_guard import PortGuard
from usbshare.sim.device import sim_device
from usbshare.sim.url import parse_sim_url

if sys.platform == "win32":
    LocalDevice = ThreadedDevice
else:
    from usbshare.line.posix.device import PosixDevice as LocalDevice

_SIMULATED = "sim://"
_USB = "usb:"
_WINDOWS_NAME = re.compile(r"(\\\\\.\\.+|COM\d+)", re.IGNORECASE)
_URL = re.compile(r"([a-z0-9]+)://.", re.IGNORECASE)
_SCHEMES = ("sim", "usbip", "socket", "rfc2217", "hwgrep", "spy", "alt", "loop", "cp2110")


def check_source(source: str) -> str:
    """Return the source if it is well formed; raises ConfigError with the correct form."""
    url = _URL.match(source)
    if url is not None and url[1].lower() not in _SCHEMES:
        raise ConfigError(f"scheme {url[1]}:// is not one of {', '.join(_SCHEMES)}")
    if source.startswith(_SIMULATED):
        try:
            parse_sim_url(source)
        except InvalidArgumentError as error:
            raise ConfigError(str(error)) from error
    elif source.lower().startswith(_USB):
        parse_usb_name(source)
    elif is_remote(source):
        parse_source(source)
    return source


def device_maker(config: PortConfig, guard: PortGuard) -> Callable[[LineSettings], Device]:
    """Return a function that makes the port's device at each opening; a simulated one is kept.

    A `usb:` source is looked up at each opening.
    """
    if config.source.startswith(_SIMULATED):
        machine = sim_device(config.source)
        return lambda _: machine
    source, dtr, rts = config.source, config.dtr, config.rts
    if is_remote(source):
        remote, seen = parse_source(source), SeenDevices(time.monotonic)
        return lambda settings: UsbipDevice(
            *(remote, settings), dtr=dtr, rts=rts, admission=guard, seen=seen
        )
    name = guard.locate if source.lower().startswith(_USB) else source
    if "://" in source or _WINDOWS_NAME.fullmatch(source):
        return lambda settings: ThreadedDevice(name, settings, dtr=dtr, rts=rts, guard=guard)
    return lambda settings: LocalDevice(name, settings, dtr=dtr, rts=rts, guard=guard)
