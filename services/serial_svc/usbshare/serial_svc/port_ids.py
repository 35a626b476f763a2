"""Ids of ports that nobody configured: each belongs to one physical device, for good."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable

from usbshare.common.device_source import SerialDeviceFound
from usbshare.line.known_devices import KnownDevices
from usbshare.line.physical_device import PhysicalDevice

log = logging.getLogger(__name__)

_LONGEST_ID = 63
_AT = "-at-"


def name_devices(
    devices: Iterable[SerialDeviceFound], known: KnownDevices
) -> list[tuple[str, SerialDeviceFound]]:
    """Give each device an id that no other device ever gets, whatever is plugged in beside it.

    A serial number makes an id for the first device that has it, which is kept in `known`; others
    with the same, and those without, have their socket in the id. What cannot be told apart at
    all gets none.
    """
    found = list(devices)
    makes = Counter(device.identity.make for device in found)
    named: dict[str, list[SerialDeviceFound]] = {}
    for device in sorted(found, key=lambda device: device.path):
        port_id = _id_of(device.identity, makes, known)
        named.setdefault(port_id, []).append(device)
    for port_id, alike in named.items():
        if len(alike) > 1:
            log.warning("cannot tell apart, so not offered as '%s': %s", port_id, alike)
    return [(port_id, alike[0]) for port_id, alike in named.items() if len(alike) == 1]


def _id_of(device: PhysicalDevice, makes: Counter[str], known: KnownDevices) -> str:
    by_number = _short(device.make, device)
    # A device that says that its number is `x-at-14.0-1` must not get the id of one in that socket.
    has_own_number = bool(device.serial) and by_number == device.make and _AT not in by_number
    owner = known.expected(by_number)
    is_free = owner is None and not known.is_unreadable(by_number)
    may_take = is_free and has_own_number and makes[device.make] == 1
    if (has_own_number and owner == device) or (may_take and known.record(by_number, device)):
        return by_number
    return _short(f"{device.make}{_AT}{device.place}", device) if device.place else by_number


def _short(text: str, device: PhysicalDevice) -> str:
    """Return the text, or one of its own for the device where it is too long for an id."""
    if len(text) <= _LONGEST_ID:
        return text
    digest = hashlib.sha256(repr(device).encode()).hexdigest()[:12]
    return f"{text[: _LONGEST_ID - 13].rstrip('-.')}-{digest}"
