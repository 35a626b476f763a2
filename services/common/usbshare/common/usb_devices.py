"""The USB serial devices plugged in here, and finding one by its ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from usbshare.common.errors import ConfigError, DeviceAbsentError, DeviceError

_BY_ID = Path("/dev/serial/by-id")
_NAME = re.compile(r"usb:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::(.+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SerialDeviceFound:
    """A USB serial device; `by_id_path` stays the same when it is plugged into another socket."""

    path: str
    by_id_path: str | None
    vid: int
    pid: int
    serial_number: str | None
    manufacturer: str | None
    product: str | None
    description: str
    location: str | None = None

    @property
    def ids(self) -> str:
        """The ids as people write them: 1a86:7523, with the serial number where it has one."""
        ids = f"{self.vid:04x}:{self.pid:04x}"
        return f"{ids}:{self.serial_number}" if self.serial_number else ids


@dataclass(frozen=True, slots=True)
class UsbName:
    """A device named by its USB ids; without a serial number it must be the only one."""

    vid: int
    pid: int
    serial_number: str | None

    def __str__(self) -> str:
        ids = f"{self.vid:04x}:{self.pid:04x}"
        return f"{ids} with serial number {self.serial_number}" if self.serial_number else ids

    def matches(self, device: SerialDeviceFound) -> bool:
        """Tell whether the device is one that is meant."""
        if (device.vid, device.pid) != (self.vid, self.pid):
            return False
        own_number = (device.serial_number or "").lower()
        return self.serial_number is None or own_number == self.serial_number.lower()


def parse_usb_name(name: str) -> UsbName:
    """Read `usb:VID:PID[:SERIAL]`, ids in hex; raises ConfigError."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(
            f"'{name}' is not usb:VID:PID or usb:VID:PID:SERIAL, such as usb:1a86:7523"
        )
    return UsbName(int(found[1], 16), int(found[2], 16), found[3])


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
        )
        for port in sorted(list_ports.comports())
        if port.vid is not None
    ]


def path_of(wanted: UsbName, devices: Sequence[SerialDeviceFound]) -> str:
    """Return the path of the one device that is meant; raises DeviceError for none or several."""
    matching = [device for device in devices if wanted.matches(device)]
    if len(matching) == 1:
        return matching[0].path
    if matching:
        raise DeviceError(f"several USB serial devices are {wanted}: {_listed(matching)}")
    plugged_in = f"plugged in: {_listed(devices) or 'none'}"
    raise DeviceAbsentError(f"no USB serial device {wanted} is plugged in ({plugged_in})")


def _listed(devices: Sequence[SerialDeviceFound]) -> str:
    return ", ".join(f"{device.ids} at {device.path}" for device in devices)


def _by_id_links() -> dict[str, str]:
    if not _BY_ID.is_dir():
        return {}
    return {str(link.resolve()): str(link) for link in sorted(_BY_ID.iterdir())}
