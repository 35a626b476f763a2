"""Which program of the host uses a device: binding it to another driver would pull it away."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from usbshare.usb_svc.devices.sysfs import driver_of

PROC = Path("/proc")
_SERVICES = {
    "serial_svc": "serial-svc",
    "serial-svc": "serial-svc",
    "camera_svc": "camera-svc",
    "camera-svc": "camera-svc",
}
_DEV = "/dev/"
_CLAIMED = "usbfs"  # drivers/usb/core/devio.c, claimintf
_UNKNOWN = "a program"
_MOST_DEPTH = 12
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Users:
    """The programs and file systems of one moment, by the nodes that they use."""

    def __init__(self, proc: Path = PROC) -> None:
        """Look; blocks."""
        self._mounts = dict(_mounts(proc))
        self._programs: dict[str, Path] = {}
        for process in sorted(proc.glob("[0-9]*"), key=lambda each: int(each.name)):
            for path in _open_files(process):
                if path.startswith(_DEV):
                    self._programs.setdefault(path, process)

    def of(self, folder: Path) -> str:
        """Return who uses the device that a folder of sysfs describes, empty if nobody; blocks."""
        for node in (f"{_DEV}{name}" for name in _nodes(folder)):
            if node in self._mounts:
                return f"the file system at {self._mounts[node]}"
            if node in self._programs:
                return _name(self._programs[node])
        return self._of_libusb(folder)

    def _of_libusb(self, folder: Path) -> str:
        """Return who has claimed an interface, as libusb does: the kernel then shows no node of it.

        Who has only opened the device's own node, to list what there is, does not use it.
        """
        if not any(driver_of(each) == _CLAIMED for each in folder.glob(f"{folder.name}:*")):
            return ""
        holders = (self._programs.get(f"{_DEV}{name}") for name in _node(folder))
        return next((_name(each) for each in holders if each is not None), _UNKNOWN)


def _nodes(folder: Path, depth: int = 0) -> Iterator[str]:
    """Give the names of the nodes of its interfaces, not of the device as a whole."""
    try:
        below = [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return
    for each in below:
        if ":" not in each.name and depth == 0:
            continue  # a hub's ports, and power
        yield from _node(each)
        if depth < _MOST_DEPTH:
            yield from _nodes(each, depth + 1)


def _node(folder: Path) -> Iterator[str]:
    try:
        lines = (folder / "uevent").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("DEVNAME="):
            yield line.partition("=")[2]


def _open_files(process: Path) -> Iterator[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:  # it has ended
        return
    for each in descriptors:
        try:
            yield os.readlink(each)
        except OSError:
            continue


def _mounts(proc: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = (proc / "mounts").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        source, place, *_ = line.split(" ")
        yield source, _ESCAPED.sub(lambda found: chr(int(found[1], 8)), place)


def _name(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        command = (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return _UNKNOWN
    for word in words[:4]:
        for part, service in _SERVICES.items():
            if part in word:
                return service
    return f"{command} (process {process.name})"
