"""Which devices a host lends: those on a list, or all whose loan cannot harm the host."""

from __future__ import annotations

from collections.abc import Sequence

from usbshare.authorization.devices import fits
from usbshare.line.usb.device import DeviceSelector
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usbip.messages import InterfaceClass

# 0x00 is a class of devices only: sysfs.py has it for an interface that it cannot read.
_UNSEEN, _HID, _MASS_STORAGE = 0x00, 0x03, 0x08
_COMMUNICATIONS, _WIRELESS, _MISCELLANEOUS = 0x02, 0xE0, 0xEF
# Ethernet, ATM, EEM, NCM and MBIM of USB CDC; RNDIS, as Microsoft's drivers know it.
_NETWORK_SUBCLASSES = (0x06, 0x07, 0x0C, 0x0D, 0x0E)
_RNDIS = (
    InterfaceClass(_COMMUNICATIONS, 0x02, 0xFF),
    InterfaceClass(_WIRELESS, 0x01, 0x03),
    InterfaceClass(_MISCELLANEOUS, 0x04, 0x01),
)
_LIST_IT = "list it under [usb] devices to lend it anyway"


def refusal(device: HostDevice, listed: Sequence[DeviceSelector] | None) -> str:
    """Return why the host does not lend a device; empty if it does. `listed`: the only ones."""
    if listed is not None:
        is_listed = any(fits(each, device.usb) for each in listed)
        return "" if is_listed else "it is not listed in [usb] devices of this host"
    classes = {each.class_ for each in device.interfaces}
    if not classes or _UNSEEN in classes:
        return f"its kind cannot be determined: {_LIST_IT}"
    if _HID in classes:
        return f"it is a keyboard or another input device: {_LIST_IT}"
    if device.has_network or any(_is_network(each) for each in device.interfaces):
        return f"it is a network adapter: {_LIST_IT}"
    if device.has_disk or _MASS_STORAGE in classes:  # encrypted, RAID and swap hide who uses it
        return f"it is a disk or another mass storage device: {_LIST_IT}"
    return ""


def _is_network(interface: InterfaceClass) -> bool:
    if interface in _RNDIS or interface.class_ == _WIRELESS:
        return True
    is_communications = interface.class_ == _COMMUNICATIONS
    return is_communications and interface.subclass in _NETWORK_SUBCLASSES
