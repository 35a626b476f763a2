"""Gives each physical device an id: once, permanently, and to no other device ever.

A short id is made of what a device reports of itself; an identical device reports the same. So a
device gets its short id only if no identical one is plugged in when it is first seen, and only once
that is recorded.
A device that has an id keeps it, whatever is plugged in or pulled out beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from usbshare.line.device_id_file import KnownDevices
from usbshare.line.physical_device import PhysicalDevice

LONGEST_ID = 63
# How long a look waits for its notes. A note later than that counts as none.
_KEEP_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """The ids that a device may have.

    `short` may be that of an identical device as well, and is empty if the device must not have
    one; `long` has its socket in it. `kept` is an id that it is known to have, whatever it would
    be called today.
    """

    device: PhysicalDevice
    short: str
    long: str
    kept: str = ""

    @property
    def own(self) -> str:
        """An id that no other device can have, for one whose others are taken."""
        return shortened(self.long, self.device, always=True)


class DeviceNames:
    """The ids of all devices that are plugged in; used from one thread at a time."""

    def __init__(self, known: KnownDevices, keep_timeout_s: float = _KEEP_TIMEOUT_S) -> None:
        self._known = known
        self._keep_timeout_s = keep_timeout_s
        self._given: dict[PhysicalDevice, str] = {}

    def give(self, wishes: Iterable[Wish]) -> dict[PhysicalDevice, str]:
        """Return the id of each device; blocks while a new one is noted, for a second at most."""
        wanted = {wish.device: wish for wish in wishes}
        shorts = Counter(wish.short for wish in wanted.values())
        makes = Counter(device.without_socket for device in wanted)
        deadline = time.monotonic() + self._keep_timeout_s
        before = {device: self._had(wish) for device, wish in wanted.items()}
        given = {device: name for device, name in before.items() if name}
        for device, wish in sorted(wanted.items(), key=lambda item: repr(item[0])):
            if device not in given:
                # Of identical devices that share one link only one seems to have a short id.
                is_alone = shorts[wish.short] == makes[device.without_socket] == 1
                given[device] = self._new(wish, set(given.values()), deadline, is_alone=is_alone)
        self._given = given
        return dict(given)

    def _had(self, wish: Wish) -> str:
        """Return the id that the device has, empty if it has none yet."""
        device, known = wish.device, self._known
        if (running := self._given.get(device, "")) and known.expected(running) in (None, device):
            if known.expected(running) is None and not known.is_unreadable(running):
                known.record(running, device)  # forgotten, but it is still there
            return running
        # One that got its long id while its short one could not be noted in time keeps the long.
        names = (wish.own, wish.long, wish.short, wish.kept)
        return next((name for name in names if name and known.expected(name) == device), "")

    def _new(self, wish: Wish, taken: set[str], deadline: float, *, is_alone: bool) -> str:
        def is_free(name: str) -> bool:
            return bool(name) and name not in taken and self._known.expected(name) is None

        short, device, known = wish.short, wish.device, self._known
        if is_alone and is_free(short) and not known.is_unreadable(short):
            left_s = max(deadline - time.monotonic(), 0)
            if known.record_in_time(short, device, left_s):
                return short
        name = wish.long if is_free(wish.long) else wish.own
        if not known.is_unreadable(name):
            known.record(name, device)
        return name


def shortened(text: str, device: PhysicalDevice, *, always: bool = False) -> str:
    """Return the text, or where it is too long for an id, or `always`, one of the device alone."""
    if len(text) <= LONGEST_ID and not always:
        return text
    digest = hashlib.sha256(repr(device).encode()).hexdigest()[:12]
    return f"{text[: LONGEST_ID - 13].rstrip('-.')}-{digest}"
