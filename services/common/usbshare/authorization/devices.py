"""Which USB devices of this host may be offered; the others are in quarantine."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from usbshare.audit.noting import Audit
from usbshare.base.errors import DeviceError, InvalidArgumentError

log = logging.getLogger(__name__)

LISTED = "listed"
_MOST_SHOWN = 64
_PLAIN_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,64}")
# As the kernel says it, by the number of the bus, or by the host controller, whose name stays.
_PATH = r"[0-9A-Fa-f]+-[0-9.]+|[0-9A-Za-z:._-]+/(?:ss)?[0-9.]+"
_ID = r"(\*|[0-9a-f]{1,4})"
_SELECTOR = re.compile(
    rf"(?:{_ID}(?::{_ID}(?::(.+?))?)?)?(?:@({_PATH}))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """What USB says that a device is, and the socket that it is in.

    `path` names it by the number of the bus, such as 1-1.2, `socket` by the host controller, such
    as 0000:00:14.0/1.2: buses are numbered in the order in which controllers are found.
    """

    vid: int
    pid: int
    serial: str = ""
    path: str = ""
    socket: str = field(default="", compare=False)

    def __str__(self) -> str:
        serial = f", serial number {shown(self.serial)}" if self.serial else ""
        place = f", in socket {shown(self.path)}" if self.path else ""
        return f"{self.vid:04x}:{self.pid:04x}{serial}{place}"

    @property
    def selector(self) -> DeviceSelector:
        """The narrowest name that it keeps: a device without a serial number keeps its socket."""
        named = _PLAIN_SERIAL.fullmatch(self.serial) is not None
        place = self.socket or self.path
        path = place if not named and re.fullmatch(_PATH, place) else ""
        return DeviceSelector(
            f"{self.vid:04x}", f"{self.pid:04x}", self.serial if named else "", path
        )


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


@dataclass(frozen=True, slots=True)
class DeviceSelector:
    """How people name devices: VID:PID:SERIAL@SOCKET, cut where they like, `*` for any id."""

    vid: str = ""
    pid: str = ""
    serial: str = ""
    path: str = ""

    def __str__(self) -> str:
        ids = [self.vid, self.pid, self.serial]
        while ids and not ids[-1]:
            ids.pop()
        text = ":".join(part or "*" for part in ids)
        return f"{text}@{self.path}" if self.path else text

    def keys(self) -> dict[str, str]:
        """Return the keys of an entry of the list."""
        parts = {"vid": self.vid, "pid": self.pid, "serial": self.serial, "path": self.path}
        return {key: text for key, text in parts.items() if text}


def parse_selector(text: str) -> DeviceSelector:
    """Read a selector; raises InvalidArgumentError with what would be one."""
    found = _SELECTOR.fullmatch(text)
    parts = [("" if part == "*" else part or "") for part in found.groups()] if found else []
    if not any(parts):
        raise InvalidArgumentError(
            f"'{text}' names no device: give VID:PID, VID:PID:SERIAL, VID:PID@SOCKET or @SOCKET, "
            "such as 1a86:7523@1-1.2, or the device's own name, such as /dev/ttyUSB0"
        )
    vid, pid, serial, path = parts
    return DeviceSelector(_four_digits(vid), _four_digits(pid), serial, path)


def _four_digits(id_: str) -> str:
    return id_.lower().rjust(4, "0") if id_ else ""


def fits(entry: ListedDevice, device: UsbDevice) -> bool:
    """Tell whether an entry means the device; one without any key means none."""
    asked = (
        (entry.vid, lambda text: int(text, 16) == device.vid),
        (entry.pid, lambda text: int(text, 16) == device.pid),
        (entry.serial, lambda text: text.casefold() == device.serial.casefold()),
        (entry.path, lambda text: text in (device.path, device.socket)),
    )
    answers = [agrees(text) for text, agrees in asked if text]
    return bool(answers) and all(answers)


def is_allowed(policy: DevicePolicy, device: UsbDevice) -> bool:
    """Tell whether the device may be offered."""
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
        """Learn what is plugged in: each that comes into quarantine gets a line in log and audit.

        One that was unplugged meanwhile gets another.
        """
        with self._lock:
            held = frozenset(device for device in devices if self.why_not(device))
            new, released, self._known = held - self._known, self._known - held, held
        for device in sorted(new, key=str):
            self._say(device)
        for device in sorted(released, key=str):
            log.info("%s: no longer in quarantine: allowed, or unplugged", device)

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


def shown(text: str) -> str:
    """Return what a device says of itself as one may print it: it may be anything."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= _MOST_SHOWN else f"{clean[:_MOST_SHOWN]}…"
