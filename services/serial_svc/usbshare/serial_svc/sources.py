"""Turns a port's source into a device: a path, a URL, a USB identity, or a simulated machine."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.common.device_source import open_device_for
from usbshare.common.line import Device, LineSettings
from usbshare.serial_svc.port_config import PortConfig
from usbshare.serial_svc.sim.device import sim_device

SIM_SCHEME = "sim://"


def device_maker(config: PortConfig) -> Callable[[LineSettings], Device]:
    """Return what makes the port's device each time it is opened; a simulated one lives on."""
    if config.source.startswith(SIM_SCHEME):
        machine = sim_device(config.source)
        return lambda _: machine
    return lambda settings: open_device_for(config.source, settings, dtr=config.dtr, rts=config.rts)
