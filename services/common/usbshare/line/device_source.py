"""From what a configuration calls a device to a Device that opens it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from usbshare.base.errors import ConfigError
from usbshare.line.open_guard import OpenGuard
from usbshare.line.settings import Device, LineSettings
from usbshare.line.threaded.device import ThreadedDevice
from usbshare.line.usb.serial_devices import list_serial_devices, parse_usb_name, path_of

if sys.platform == "win32":
    LocalDevice = ThreadedDevice
else:
    from usbshare.line.posix.device import PosixDevice as LocalDevice

_USB = "usb:"
_WINDOWS_NAME = re.compile(r"(\\\\\.\\.+|COM\d+)", re.IGNORECASE)


def open_device_for(
    source: str,
    settings: LineSettings,
    *,
    dtr: bool | None = None,
    rts: bool | None = None,
    guard: OpenGuard | None = None,
    locate: Callable[[], str] | None = None,
) -> Device:
    """Return a device still to be opened; raises ConfigError for a malformed name.

    `source` is a path, a Windows name (COM3), `usb:VID:PID[:SERIAL]`, which is looked up at each
    `open`, or a pyserial URL (socket://, rfc2217://, loop://). `locate`, in place of `source`,
    returns the path at each `open`; `guard` is asked before and after it.
    """
    if not source:
        raise ConfigError("the device's name is empty")
    name = locate or _locator(source)
    if "://" in source or _WINDOWS_NAME.fullmatch(source):
        return ThreadedDevice(name, settings, dtr=dtr, rts=rts, guard=guard)
    return LocalDevice(name, settings, dtr=dtr, rts=rts, guard=guard)


def _locator(source: str) -> str | Callable[[], str]:
    if not source.lower().startswith(_USB):
        return source
    wanted = parse_usb_name(source)
    return lambda: path_of(wanted, list_serial_devices())
