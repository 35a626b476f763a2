"""Checks at each opening that a port's device is still the same one, and is allowed.

A port has the device that was behind its source when it was first opened; a port that nobody
configured has the one that it was offered for. What a name or a link leads to later is compared
with that by what the system says of the device, before and after it is opened.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from usbshare.base.errors import DeviceAbsentError, DeviceError
from usbshare.line.device_id_file import KnownDevices
from usbshare.line.expected_device import OwnDevice
from usbshare.line.physical_device import PhysicalDevice, physical_device_at
from usbshare.line.usb.serial_devices import (
    SerialDeviceFound,
    is_shared_link,
    list_serial_devices,
    parse_usb_name,
    path_of,
    usb_name_of,
)
from usbshare.line.usbip.source import is_remote, parse_source
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.quarantine import PortQuarantine

_USB = "usb:"
NOT_PLUGGED_IN = "not plugged in"


class PortGuard:
    """OpenGuard of one port; its methods block for some ms, but `expected`."""

    def __init__(
        self, config: PortConfig, known: KnownDevices, quarantine: PortQuarantine | None = None
    ) -> None:
        self._source = config.source
        self._quarantine = quarantine
        is_usb_name = self._source.lower().startswith(_USB)
        self._name = name = parse_usb_name(self._source) if is_usb_name else None
        self._remote = parse_source(self._source) if is_remote(self._source) else None
        by_number = name.serial_number if name else self._remote and self._remote.serial
        self._own = OwnDevice(
            config.id,
            known,
            service="serial-svc",
            kind="port",
            fixed=config.device,
            in_any_socket=bool(by_number and not (name and name.socket)),
        )

    def expected(self) -> PhysicalDevice | None:
        """Return which device the port has; None if it has had none, or no USB device."""
        return self._own.expected()

    def locate(self) -> str:
        """Return the path of the device that a `usb:` source means; raises DeviceError."""
        if self._name is None:
            return self._source
        devices, expected = list_serial_devices(), self.expected()
        own = [each for each in devices if each.identity == expected]
        if self._own.is_fixed and not own:
            raise DeviceAbsentError(f"{expected}: {NOT_PLUGGED_IN}")
        return own[0].path if own else path_of(self._name, devices)

    def there(self) -> PhysicalDevice | None:
        """Return the device that an opening would find now, None if none or no USB device.

        Of another computer's devices only the port's own would be admitted.
        """
        if self._remote is not None:
            return self.expected()
        try:
            return _device_at(self.locate())
        except DeviceError:
            return None

    def before_open(self, path: str) -> None:
        """Raise DeviceError where the path leads to another device, or one in quarantine."""
        if self._quarantine is not None:
            self._quarantine.admit(path)
        if why := self._why_not(path, _device_at(path)):
            raise DeviceError(why)

    def after_open(self, path: str, descriptor: int | None) -> None:
        """Raise DeviceError unless what is open is the port's device, which it is from now on."""
        if self._quarantine is not None and descriptor is not None:
            self._quarantine.admit_open(descriptor)
        found = physical_device_at(descriptor) if descriptor is not None else None
        found = found or _listed_at(path)
        if why := self._why_not(path, found):
            raise DeviceError(why)
        self._own.opened(found)

    def admit(self, name: str, found: PhysicalDevice) -> None:
        """Raise DeviceError unless what another computer has is the port's device from now on."""
        if self._quarantine is not None:
            self._quarantine.admit_remote(found)
        if why := self._own.why_not(name, found):
            raise DeviceError(why)
        self._own.opened(found)

    def why_absent(self, plugged_in: Sequence[SerialDeviceFound]) -> str:
        """Return why there is nothing to open, empty if there is or only opening can tell."""
        if self._own.is_fixed:
            there = any(each.identity == self.expected() for each in plugged_in)
            return "" if there else NOT_PLUGGED_IN
        if self._name is not None:
            return self._why_none_of([each for each in plugged_in if self._name.matches(each)])
        if not self._source.startswith("/"):
            return ""
        if not os.path.exists(self._source):
            return NOT_PLUGGED_IN
        return self._why_not(self._source, physical_device_at(self._source))

    def _why_none_of(self, matching: Sequence[SerialDeviceFound]) -> str:
        if not matching:
            return NOT_PLUGGED_IN
        reasons = [self._why_not(each.path, each.identity) for each in matching]
        return "" if "" in reasons else reasons[0]

    def _why_not(self, path: str, found: PhysicalDevice | None) -> str:
        if why := self._own.why_not(path, found):
            return why
        return self._why_ambiguous(path, found) if self.expected() is None else ""

    def _why_ambiguous(self, path: str, found: PhysicalDevice | None) -> str:
        """Return why a link must not decide which device a port has, empty if it does not."""
        if found is None or not is_shared_link(path):
            return ""
        make = found.without_socket
        twins = [e for e in list_serial_devices() if e.identity.without_socket == make]
        if len(twins) < 2:
            return ""
        count, names = len(twins), " or ".join(sorted(usb_name_of(e.identity) for e in twins))
        return f"refused: {count} devices share the link {path}; name one by its socket: {names}"


def _device_at(path: str) -> PhysicalDevice | None:
    return physical_device_at(path) or _listed_at(path)


def _listed_at(path: str) -> PhysicalDevice | None:
    """Return the device that is listed at a path: of a system without /sys."""
    if "://" in path:
        return None
    names = {os.path.normcase(path), os.path.normcase(os.path.realpath(path))}
    listed = (each for each in list_serial_devices() if os.path.normcase(each.path) in names)
    return next((each.identity for each in listed), None)
