"""What Windows' registry says of its serial ports; other systems have none."""

from __future__ import annotations

import importlib

_SERIAL_PORTS = r"HARDWARE\DEVICEMAP\SERIALCOMM"
# usbser.sys, the driver of CDC-ACM devices, names its ports \Device\USBSER000 and so on.
_CDC_ACM = r"\device\usbser"
_PREFIX = "\\\\.\\"


def takes_at_own_rate(url: str) -> bool:
    """Return whether the port is a USB device that makes the host wait (CDC-ACM)."""
    name = url.removeprefix(_PREFIX).upper()
    return any(
        port.upper() == name and device.lower().startswith(_CDC_ACM)
        for device, port in _ports().items()
    )


def _ports() -> dict[str, str]:
    """Return the names of the ports by those of their devices."""
    found: dict[str, str] = {}
    try:
        registry = importlib.import_module("winreg")
    except ModuleNotFoundError:  # plain names are PosixDevice's here, other URLs have a line's rate
        return found
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, _SERIAL_PORTS) as key:
            for index in range(registry.QueryInfoKey(key)[1]):
                device, port, _ = registry.EnumValue(key, index)
                found[str(device)] = str(port)
    except OSError:  # no port at all, or one that has just gone
        return found
    return found
