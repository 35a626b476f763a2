"""What devices of a server said of themselves, so that none is attached only to be looked at again.

The kernel's server resets a device when it is given back: a board that is not meant would start
anew with each attempt to find the one that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from usbshare.line.physical_device import PhysicalDevice
from usbshare.usbip.messages import ExportedDevice

LOOK_AGAIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found: which device it is, or why it is none that can be used."""

    at_s: float
    physical: PhysicalDevice | None = None
    refusal: str = ""


class SeenDevices:
    """Remembers devices of one server while they stay plugged in, ten minutes at most.

    The kernel gives each device that is plugged in a number of its own; other servers may use one
    again, so everything is forgotten when the server has been away. `clock` is monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, int, int, int], Seen] = {}

    def keep(self, listed: Iterable[ExportedDevice]) -> None:
        """Forget what is no longer listed."""
        there = set(map(_key, listed))
        self._seen = {key: seen for key, seen in self._seen.items() if key in there}

    def clear(self) -> None:
        """Forget everything: the server was away."""
        self._seen.clear()

    def of(self, device: ExportedDevice) -> Seen | None:
        """Return what is known of a device, None if it has to be looked at."""
        seen = self._seen.get(_key(device))
        return seen if seen and self._clock() - seen.at_s < LOOK_AGAIN_S else None

    def is_(self, device: ExportedDevice, physical: PhysicalDevice) -> None:
        """Remember which device it is."""
        self._seen[_key(device)] = Seen(self._clock(), physical)

    def is_refused(self, device: ExportedDevice, why: str) -> None:
        """Remember that it is none that can be used."""
        self._seen[_key(device)] = Seen(self._clock(), refusal=why)


def _key(device: ExportedDevice) -> tuple[str, int, int, int]:
    return device.busid, device.devid, device.vid, device.pid
