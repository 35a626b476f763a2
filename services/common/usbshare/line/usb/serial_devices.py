"""The USB serial devices plugged in here, and how a name selects one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from usbshare.base.errors import ConfigError, DeviceAbsentError, DeviceError
from usbshare.line.physical_device import PhysicalDevice, physical_device_at

_NODES = Path("/dev")
_BY_ID, _BY_PATH = Path("/dev/serial/by-id"), Path("/dev/serial/by-path")
_TTYS = Path("/sys/class/tty")
_LOOKS = 5
_SOCKET = r"[0-9a-z:._-]+/(?:ss)?[0-9.]+|[0-9]+-[0-9.]+"
_NAME = re.compile(
    rf"usb:([0-9a-f]{{1,4}}):([0-9a-f]{{1,4}})(?::(.+?))?(?:@({_SOCKET}))?(?:#([0-9.]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SerialDeviceFound:
    """A USB serial device; `by_id_path` may be shared by several without serial numbers."""

    path: str
    by_id_path: str | None
    vid: int
    pid: int
    serial_number: str | None
    manufacturer: str | None
    product: str | None
    description: str
    location: str | None = None
    physical: PhysicalDevice | None = None

    @property
    def identity(self) -> PhysicalDevice:
        """Which device it is: as the system says, else by the location that it is listed with."""
        if self.physical is not None:
            return self.physical
        socket, _, interface = (self.location or "").partition(":")
        number = interface.rpartition(".")[2] or "0"
        return PhysicalDevice(self.vid, self.pid, self.serial_number or "", socket, number)

    @property
    def ids(self) -> str:
        """The ids as people write them: 1a86:7523, with the serial number where it has one."""
        ids = f"{self.vid:04x}:{self.pid:04x}"
        return f"{ids}:{self.serial_number}" if self.serial_number else ids


@dataclass(frozen=True, slots=True)
class UsbName:
    """A device named by its USB ids, serial number, socket, interface; it must be the only one."""

    vid: int
    pid: int
    serial_number: str | None
    socket: str | None = None
    interface: str | None = None

    def __str__(self) -> str:
        number = f" with serial number {self.serial_number}" if self.serial_number else ""
        socket = f" in socket {self.socket}" if self.socket else ""
        interface = f", interface {self.interface}" if self.interface else ""
        return f"{self.vid:04x}:{self.pid:04x}{number}{socket}{interface}"

    def matches(self, device: SerialDeviceFound) -> bool:
        """Return whether the device is one that is meant."""
        if (device.vid, device.pid) != (self.vid, self.pid):
            return False
        own_number = (device.serial_number or "").lower()
        if self.serial_number is not None and own_number != self.serial_number.lower():
            return False
        places = (device.identity.socket, (device.location or "").partition(":")[0])
        if self.socket is not None and self.socket not in places:
            return False
        return self.interface is None or self.interface == device.identity.interface


def parse_usb_name(name: str) -> UsbName:
    """Read `usb:VID:PID[:SERIAL][@SOCKET][#INTERFACE]`, ids in hex; raises ConfigError."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(
            f"'{name}' is not usb:VID:PID or usb:VID:PID:SERIAL, such as usb:1a86:7523; add "
            "@SOCKET or #INTERFACE if several devices are alike"
        )
    return UsbName(int(found[1], 16), int(found[2], 16), found[3], found[4], found[5])


def usb_name_of(device: PhysicalDevice) -> str:
    """Return the name that means this device and no identical one; see `parse_usb_name`."""
    number = f":{device.serial}" if device.serial else ""
    socket = f"@{device.socket}" if device.socket else ""
    interface = f"#{device.interface}" if device.interface != "0" else ""
    return f"usb:{device.vid:04x}:{device.pid:04x}{number}{socket}{interface}"


def is_shared_link(path: str) -> bool:
    """Return whether the path is a link that devices without serial numbers may share."""
    return Path(path).parent == _BY_ID


def list_serial_devices() -> list[SerialDeviceFound]:
    """Return the USB serial devices, never built-in UARTs; opens none; blocks for some ms."""
    links = _by_id_links()
    return [
        SerialDeviceFound(
            path=port.device,
            by_id_path=links.get(port.device),
            vid=port.vid,
            pid=port.pid,
            serial_number=port.serial_number,
            manufacturer=port.manufacturer,
            product=port.product,
            description=port.description,
            location=port.location,
            physical=physical_device_at(port.device),
        )
        for port in sorted(_ports())
        if port.vid is not None
    ]


def folders_that_change() -> tuple[Path, ...]:
    """Return the folders whose time changes with each device; none where the system has none."""
    return (_NODES, _BY_ID, _BY_PATH) if _TTYS.is_dir() else ()


def path_of(wanted: UsbName, devices: Sequence[SerialDeviceFound]) -> str:
    """Return the path of the one device that is meant; raises DeviceError for none or several."""
    matching = [device for device in devices if wanted.matches(device)]
    if len(matching) == 1:
        return matching[0].path
    if matching:
        names = ", ".join(usb_name_of(device.identity) for device in matching)
        raise DeviceError(
            f"several USB serial devices match {wanted}: {_listed(matching)}; name one by its "
            f"socket as well: {names}"
        )
    plugged_in = f"plugged in: {_listed(devices) or 'none'}"
    raise DeviceAbsentError(f"no USB serial device {wanted} is plugged in ({plugged_in})")


def _listed(devices: Sequence[SerialDeviceFound]) -> str:
    return ", ".join(f"{device.ids} at {device.path}" for device in devices)


def _ports() -> list[ListPortInfo]:
    """Return what pyserial lists, which fails at a device that is unplugged meanwhile."""
    for _ in range(_LOOKS - 1):
        with suppress(TypeError, OSError):  # it takes ids that it cannot read for numbers
            return list(list_ports.comports())
    return list(list_ports.comports())


def _by_id_links() -> dict[str, str]:
    try:
        links = sorted(_BY_ID.iterdir())
    except OSError:  # udev removes the folder with the last link
        return {}
    return {str(link.resolve()): str(link) for link in links}
