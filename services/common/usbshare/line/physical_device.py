"""Which physical device is behind a node of /dev, as Linux says in /sys: never by its name.

Names like /dev/ttyUSB0 and /dev/video0 are given in the order of appearance, links in
/dev/serial/by-id are shared by devices without serial numbers, and the number of a bus (the 1 in
1-1.2) is given in the order in which host controllers are found. What stays is the host
controller, the chain of ports from it to the device, and what the device says of itself.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path

SYS = Path("/sys")
_ROOT_HUB = re.compile(r"usb\d+")
_DEVICE = re.compile(r"\d+-(\d+(?:\.\d+)*)")
_PCI_DEFAULT = "0000:00:"


@dataclass(frozen=True, slots=True)
class PhysicalDevice:
    """A USB device in its socket; `interface` distinguishes the ports of one device.

    `socket` is the host controller and the chain of ports, such as 0000:00:14.0/1.2. A super speed
    device has `ss` before the chain, since the controller counts those ports on their own.
    """

    vid: int
    pid: int
    serial: str = ""
    socket: str = ""
    interface: str = "0"

    def __str__(self) -> str:
        number = f"serial number {_printable(self.serial)}" if self.serial else "no serial number"
        where = f", in socket {_printable(self.socket)}" if self.socket else ""
        which = "" if self.interface == "0" else f", interface {_printable(self.interface)}"
        return f"{self.vid:04x}:{self.pid:04x}, {number}{where}{which}"

    @property
    def without_socket(self) -> PhysicalDevice:
        """What the device reports of itself in any socket; identical devices report the same."""
        return replace(self, socket="")

    @property
    def place(self) -> str:
        """The socket as a part of an id: 14.0-1.2."""
        return _slug(self.socket.removeprefix(_PCI_DEFAULT))

    @property
    def make(self) -> str:
        """What the device says of itself as a part of an id: 1a86-7523-x1, -if2 of interface 2."""
        serial = f"-{_slug(self.serial)}" if _slug(self.serial) else ""
        which = "" if self.interface == "0" else f"-if{_slug(self.interface)}"
        return f"{self.vid:04x}-{self.pid:04x}{serial}{which}"

    def as_table(self) -> dict[str, str | int]:
        """Return what `physical_device_from` reads."""
        return asdict(self)


def physical_device_from(table: Mapping[str, object]) -> PhysicalDevice:
    """Return what `as_table` wrote; raises ValueError."""
    try:
        vid, pid = int(str(table["vid"])), int(str(table["pid"]))
        return PhysicalDevice(
            vid, pid, str(table["serial"]), str(table["socket"]), str(table["interface"])
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no device: {error}") from error


def physical_device_at(node: str | int) -> PhysicalDevice | None:
    """Return the device behind a path or an open descriptor, None if it is not a USB device's.

    Blocks for a moment. Of a descriptor the answer is that of the device that is open, whatever has
    become of its name.
    """
    try:
        found = os.stat(node)
    except (OSError, ValueError):
        return None
    return _numbered(found.st_rdev) if stat.S_ISCHR(found.st_mode) else None


def _numbered(number: int) -> PhysicalDevice | None:
    return physical_device_of(SYS / "dev" / "char" / f"{os.major(number)}:{os.minor(number)}")


def physical_device_of(entry: Path) -> PhysicalDevice | None:
    """Return the device of an entry of /sys/class or /sys/dev/char; blocks for a moment."""
    part = (entry / "device").resolve()
    top = SYS.resolve()  # what is above is a disk, which may hang
    folders = [part, *takewhile(lambda folder: folder != top, part.parents)]
    for folder, interface in zip(folders[1:], folders, strict=False):
        vid, pid = _text(folder / "idVendor"), _text(folder / "idProduct")
        if vid and pid:
            which = _interface(interface, part)
            serial = _text(folder / "serial")
            return PhysicalDevice(int(vid, 16), int(pid, 16), serial, socket_of(folder), which)
    return None


def socket_of(device: Path) -> str:
    """Return the socket that a device of /sys is in: its own name if that is not to be found."""
    hub = next((folder for folder in device.parents if _ROOT_HUB.fullmatch(folder.name)), None)
    chain = _DEVICE.fullmatch(device.name)
    if hub is None or chain is None:
        return device.name
    speed = "ss" if _text(hub / "version") >= "3" else ""
    return f"{hub.parent.name}/{speed}{chain[1]}"


def _interface(interface: Path, part: Path) -> str:
    """Return the number of the interface, and of the port where one interface has several."""
    number = _text(interface / "bInterfaceNumber") or interface.name.rpartition(".")[2]
    port = _text(part / "port_number") if part != interface else ""
    shown = str(int(number, 16)) if re.fullmatch("[0-9a-fA-F]{1,2}", number) else "0"
    return f"{shown}.{port}" if port not in ("", "0") else shown


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:64]
