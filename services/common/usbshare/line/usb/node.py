"""Which USB device is behind a device node, as Linux says in /sys."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from usbshare.line.physical_device import socket_of
from usbshare.line.usb.device import UsbDevice
from usbshare.line.usb.serial_devices import SerialDeviceFound

_SYS = Path("/sys")


def usb_device_behind(node: str | int, sys: Path | None = None) -> UsbDevice | None:
    """Return the device behind a path or descriptor, None if there is no USB device; may block."""
    try:
        found = os.stat(node)
    except (OSError, ValueError):
        return None
    if not stat.S_ISCHR(found.st_mode):
        return None
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    interface = ((sys or _SYS) / "dev" / "char" / number / "device").resolve()
    return next((usb for folder in interface.parents if (usb := _read(folder))), None)


def usb_device_of(found: SerialDeviceFound) -> UsbDevice:
    """Return a listed serial device as a USB device."""
    path = (found.location or "").partition(":")[0]  # after the colon is the interface
    socket = found.identity.socket if "/" in found.identity.socket else ""
    return UsbDevice(found.vid, found.pid, found.serial_number or "", path, socket)


def _read(folder: Path) -> UsbDevice | None:
    vid, pid = (_text(folder / name) for name in ("idVendor", "idProduct"))
    if not (vid and pid):
        return None
    where = socket_of(folder)
    socket = where if "/" in where else ""
    return UsbDevice(int(vid, 16), int(pid, 16), _text(folder / "serial"), folder.name, socket)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
