"""Turns a port's source into a device: a path, a URL, a USB identity, or a simulated machine."""

from __future__ import annotations

import re
from collections.abc import Callable

from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.line.device_source import open_device_for
from usbshare.line.settings import Device, LineSettings
from usbshare.line.usb.serial_devices import parse_usb_name
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.device_guard import PortGuard
from usbshare.sim.device import sim_device
from usbshare.sim.url import parse_sim_url

_SIMULATED = "sim://"
_USB = "usb:"
_URL = re.compile(r"([a-z0-9]+)://.", re.IGNORECASE)
_SCHEMES = ("sim", "socket", "rfc2217", "hwgrep", "spy", "alt", "loop", "cp2110")


def check_source(source: str) -> str:
    """Return the source if it is well formed; raises ConfigError with what would be."""
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
    return source


def device_maker(config: PortConfig, guard: PortGuard) -> Callable[[LineSettings], Device]:
    """Return what makes the port's device each time it is opened; a simulated one lives on."""
    if config.source.startswith(_SIMULATED):
        machine = sim_device(config.source)
        return lambda _: machine
    return lambda settings: open_device_for(
        config.source,
        settings,
        dtr=config.dtr,
        rts=config.rts,
        guard=guard,
        locate=guard.locate if config.source.lower().startswith(_USB) else None,
    )
