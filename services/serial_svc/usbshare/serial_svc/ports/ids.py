"""Ids of ports that are not configured: each belongs to one physical device, permanently."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from usbshare.line.device_ids import DeviceNames, Wish, shortened
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.usb.serial_devices import SerialDeviceFound

log = logging.getLogger(__name__)

_AT = "-at-"


def name_devices(
    devices: Iterable[SerialDeviceFound], names: DeviceNames
) -> list[tuple[str, SerialDeviceFound]]:
    """Give each device an id that no other device ever gets, whatever else is plugged in.

    A serial number makes an id for the first device that has it; others with the same, and those
    without, have their socket in the id. Indistinguishable devices get none. Blocks for a
    moment.
    """
    found = sorted(devices, key=lambda device: device.path)
    ids = names.give([_wish(device.identity) for device in found])
    alike = Counter(device.identity for device in found)
    for identity in (each for each in alike if alike[each] > 1):
        paths = [device.path for device in found if device.identity == identity]
        log.warning(
            "cannot tell these devices apart, so '%s' is not offered: %s", ids[identity], paths
        )
    named = [(ids[each.identity], each) for each in found if alike[each.identity] == 1]
    return sorted(named, key=lambda pair: pair[0])


def _wish(device: PhysicalDevice) -> Wish:
    by_number = shortened(device.make, device)
    # A device that says that its number is `x-at-14.0-1` must not get the id of one in that socket.
    has_own_number = bool(device.serial) and by_number == device.make and _AT not in by_number
    by_place = shortened(f"{device.make}{_AT}{device.place}", device) if device.place else by_number
    return Wish(device, by_number if has_own_number else "", by_place)
