"""Keeps USB devices that the policy does not allow from being ports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from usbshare.authorization.devices import PluggedIn, Quarantine
from usbshare.base.errors import DeviceAbsentError
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.usb.device import UsbDevice
from usbshare.line.usb.node import usb_device_behind, usb_device_of
from usbshare.line.usb.serial_devices import SerialDeviceFound, list_serial_devices, parse_usb_name

_USB = "usb:"
# A device of usbip:// is checked once it is known, see `admit_remote`. Not hwgrep, spy, alt and
# cp2110: which device of this host they open is not known beforehand.
_NOT_USB = ("sim://", "socket://", "rfc2217://", "loop://", "usbip://")


class PortQuarantine:
    """Decides whether sources and paths may be opened; its methods block for some ms."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine

    def admit(self, path: str) -> None:
        """Raise DeviceAbsentError where the path leads to a device that may not be opened."""
        if not self._quarantine.is_closed:
            return
        if why := self._why_not(path, list_serial_devices()):
            raise DeviceAbsentError(why)

    def admit_open(self, descriptor: int) -> None:
        """Raise DeviceAbsentError where what is open may not be; its name may have moved on."""
        behind = usb_device_behind(descriptor) if self._quarantine.is_closed else None
        if behind is not None and (why := self._quarantine.why_not(behind)):
            raise DeviceAbsentError(why)

    def admit_remote(self, found: PhysicalDevice) -> None:
        """Raise DeviceAbsentError where a device of another computer may not be opened.

        Its socket is that computer's: an entry that names a socket means one of this host.
        """
        if not self._quarantine.is_closed:
            return
        if why := self._quarantine.why_not(UsbDevice(found.vid, found.pid, found.serial)):
            raise DeviceAbsentError(why)

    def allowed(self, plugged_in: Sequence[SerialDeviceFound]) -> list[SerialDeviceFound]:
        """Return the plugged-in devices that may be offered; note the others."""
        self._quarantine.saw(map(usb_device_of, plugged_in))
        return [each for each in plugged_in if not self._quarantine.why_not(usb_device_of(each))]

    def held_back(
        self, sources: Iterable[str], plugged_in: Sequence[SerialDeviceFound]
    ) -> dict[str, str]:
        """Return the sources that may not be opened, each with the reason."""
        if not self._quarantine.is_closed:
            return {}
        reasons = {source: self._why_not(source, plugged_in) for source in sources}
        return {source: why for source, why in reasons.items() if why}

    def _why_not(self, source: str, plugged_in: Sequence[SerialDeviceFound]) -> str:
        scheme = source.partition("://")[0]
        if scheme != source:
            return "" if f"{scheme.lower()}://" in _NOT_USB else _unknowable(source)
        reasons = map(self._quarantine.why_not, _behind(source, plugged_in))
        return next((why for why in reasons if why), "")


def plugged_in_ports() -> list[PluggedIn]:
    """Return what could be offered, allowed or not; blocks for some ms."""
    found = list_serial_devices()
    return [PluggedIn(usb_device_of(each), each.path, each.description) for each in found]


def _behind(source: str, plugged_in: Sequence[SerialDeviceFound]) -> list[UsbDevice]:
    if source.lower().startswith(_USB):
        wanted = parse_usb_name(source)
        return [usb_device_of(found) for found in plugged_in if wanted.matches(found)]
    if behind := usb_device_behind(source):
        return [behind]
    path = os.path.normcase(os.path.realpath(source)), source.upper()
    return [
        usb_device_of(found)
        for found in plugged_in
        if os.path.normcase(found.path) == path[0] or found.path.upper() == path[1]
    ]


def _unknowable(source: str) -> str:
    return (
        f"quarantined: cannot tell which USB device {source} opens; name it usb:VID:PID, "
        "because only listed devices are allowed here"
    )
