"""Which USB devices of this host may be offered; the others are in quarantine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from usbshare.audit.recorder import Audit
from usbshare.base.errors import DeviceError
from usbshare.line.usb.device import UsbDevice, shown

log = logging.getLogger(__name__)

LISTED = "listed"


@dataclass(frozen=True, slots=True)
class PluggedIn:
    """A device with its node, such as /dev/ttyUSB0, and its name for people."""

    device: UsbDevice
    node: str
    name: str


class ListedDevice(Protocol):
    """An entry of the policy's list: each key that is there must fit."""

    @property
    def vid(self) -> str | None:
        """The vendor id in hex."""

    @property
    def pid(self) -> str | None:
        """The product id in hex."""

    @property
    def serial(self) -> str | None:
        """The serial number."""

    @property
    def path(self) -> str | None:
        """The socket."""


class DevicePolicy(Protocol):
    """What the policy says of devices."""

    @property
    def devices(self) -> str:
        """`any` or `listed`."""

    @property
    def allowed_devices(self) -> Sequence[ListedDevice]:
        """The devices that may be offered where only listed ones may."""


def fits(entry: ListedDevice, device: UsbDevice) -> bool:
    """Return whether an entry means the device; one without any key means none."""
    asked = (
        (entry.vid, lambda text: int(text, 16) == device.vid),
        (entry.pid, lambda text: int(text, 16) == device.pid),
        (entry.serial, lambda text: text.casefold() == device.serial.casefold()),
        (entry.path, lambda text: text in (device.path, device.socket)),
    )
    answers = [agrees(text) for text, agrees in asked if text]
    return bool(answers) and all(answers)


def is_allowed(policy: DevicePolicy, device: UsbDevice) -> bool:
    """Return whether the device may be offered."""
    return policy.devices != LISTED or any(fits(entry, device) for entry in policy.allowed_devices)


class Quarantine:
    """Keeps devices from being offered, and says so once of each; used from any thread."""

    def __init__(
        self, policy: Callable[[], DevicePolicy], audit: Audit, service: str, kind: str
    ) -> None:
        self._policy = policy
        self._audit = audit
        self._service = service
        self._kind = kind
        self._known: frozenset[UsbDevice] = frozenset()
        self._lock = threading.Lock()

    @property
    def is_closed(self) -> bool:
        """Whether only listed devices may be offered."""
        return self._policy().devices == LISTED

    def why_not(self, device: UsbDevice) -> str:
        """Return why the device may not be offered, empty if it may."""
        if is_allowed(self._policy(), device):
            return ""
        command = f"`{self._service} devices allow {device.selector}`"
        return f"quarantined: USB device {device} is not allowed here; {command} allows it"

    def admit(self, device: UsbDevice) -> None:
        """Raise DeviceError with the reason if the device may not be offered."""
        if why := self.why_not(device):
            raise DeviceError(why)

    def saw(self, devices: Iterable[UsbDevice]) -> None:
        """Note what is plugged in: each that comes into quarantine gets a line in log and audit.

        One that was unplugged meanwhile gets another.
        """
        with self._lock:
            held = frozenset(device for device in devices if self.why_not(device))
            new, released, self._known = held - self._known, self._known - held, held
        for device in sorted(new, key=str):
            self._say(device)
        for device in sorted(released, key=str):
            log.info("%s: no longer quarantined: it was allowed or unplugged", device)

    def _say(self, device: UsbDevice) -> None:
        log.warning("%s %s", self._kind, self.why_not(device))
        self._audit.note(
            "quarantined",
            device=self._kind,
            vid=f"{device.vid:04x}",
            pid=f"{device.pid:04x}",
            serial=shown(device.serial),
            path=shown(device.path),
        )
