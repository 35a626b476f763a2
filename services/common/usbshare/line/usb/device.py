"""One USB device: what it says that it is, the socket that it is in, and how people name it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from usbshare.base.errors import InvalidArgumentError

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
            f"'{text}' is not a device: give VID:PID, VID:PID:SERIAL, VID:PID@SOCKET or "
            "@SOCKET, such as 1a86:7523@1-1.2, or the device's own name, such as /dev/ttyUSB0"
        )
    vid, pid, serial, path = parts
    return DeviceSelector(_four_digits(vid), _four_digits(pid), serial, path)


def _four_digits(id_: str) -> str:
    return id_.lower().rjust(4, "0") if id_ else ""


def shown(text: str) -> str:
    """Return what a device says of itself as one may print it: it may be anything."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= _MOST_SHOWN else f"{clean[:_MOST_SHOWN]}…"
