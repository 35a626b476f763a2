"""One USB device as the host sees it."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.line.usb.device import UsbDevice
from usbshare.usbip.messages import InterfaceClass, Speed


@dataclass(frozen=True, slots=True)
class HostDevice:
    """What a device says of itself, and where it is; `busid` is the kernel's name of its socket.

    `has_network` and `has_disk` say whether a driver has made a network interface or a SCSI host
    of it, `release` is its own version (bcdDevice), `driver` what has the device as a whole.
    `interfaces` is empty while usbip-host has it; one that cannot be read has class 0.
    """

    busid: str
    busnum: int
    devnum: int
    vid: int
    pid: int
    serial: str = ""
    manufacturer: str = ""
    product: str = ""
    speed: Speed = Speed.UNKNOWN
    class_code: int = 0
    interfaces: tuple[InterfaceClass, ...] = ()
    socket: str = ""
    has_network: bool = False
    has_disk: bool = False
    release: int = 0
    driver: str = ""

    @property
    def usb(self) -> UsbDevice:
        """The device as the rest of usbshare knows it."""
        return UsbDevice(self.vid, self.pid, self.serial, self.busid, self.socket)

    @property
    def devid(self) -> int:
        """What USB/IP calls it."""
        return self.busnum << 16 | self.devnum


def ids_of(devices: tuple[HostDevice, ...]) -> dict[str, HostDevice]:
    """Return the devices by id: the narrowest name that each keeps, with its socket if it must."""
    found: dict[str, HostDevice] = {}
    names = [str(each.usb.selector) for each in devices]
    for device, name in zip(devices, names, strict=True):
        is_shared = names.count(name) > 1 and "@" not in name
        found[f"{name}@{device.busid}" if is_shared else name] = device
    return dict(sorted(found.items()))
