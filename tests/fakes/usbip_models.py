"""The smallest models of USB devices that tests need; whole ones are in `usbip_captures`."""

from __future__ import annotations

from fakes.usbip_device import Model
from usbshare.usbip.cdc import acm_descriptors
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)


def acm_model(serial: str = "", *, vid: int = 0x2341, pid: int = 0x0043, value: int = 1) -> Model:
    """A serial port as an Arduino Uno is one."""
    control = InterfaceDescriptor(
        *(0, 2, 2, 1),
        extra=acm_descriptors(0, 1),
        endpoints=(EndpointDescriptor(0x82, 3, 8, 0x40),),
    )
    data = InterfaceDescriptor(
        *(1, 0x0A),
        endpoints=(EndpointDescriptor(0x04, 2, 64, 1), EndpointDescriptor(0x83, 2, 64, 1)),
    )
    device = DeviceDescriptor(vid, pid, 2, serial_index=3 if serial else 0, product_index=2)
    strings = {2: "Fake port", **({3: serial} if serial else {})}
    return Model(device, (ConfigurationDescriptor(value, (control, data)),), strings)
