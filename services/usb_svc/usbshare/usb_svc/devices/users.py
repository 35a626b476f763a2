"""Which program of the host uses a device, and would lose it if it were lent."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from usbshare.usb_svc.devices.disks import FIRST, UNKNOWN_USER, Disks
from usbshare.usb_svc.devices.nodes import Node, interface_nodes, own_node
from usbshare.usb_svc.devices.sysfs import SYS, driver_of

PROC = Path("/proc")
_SERVICES = {
    "serial_svc": "serial-svc",
    "serial-svc": "serial-svc",
    "camera_svc": "camera-svc",
    "camera-svc": "camera-svc",
}
_DEV = "/dev/"
_NOT_OF_USB = frozenset({"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"})
_CLAIMED = "usbfs"  # drivers/usb/core/devio.c, claimintf
_UNKNOWN = "a program"
_ALL = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel: the namespace of all processes
CONTAINED = "only the processes of a container are seen here"

Number = tuple[str, int, int]


class Users:
    """The programs and file systems of one moment, by the nodes that they use."""

    def __init__(self, proc: Path = PROC, sys: Path = SYS) -> None:
        """Look; blocks."""
        self._disks = Disks(proc, sys)
        self._programs: dict[str | Number, Path] = {}
        processes = sorted(proc.glob("[0-9]*"), key=lambda each: int(each.name))
        self._unseen = _unseen(proc, processes)
        for process in processes:
            try:
                for node in _open_nodes(process):
                    self._programs.setdefault(node, process)
            except PermissionError as error:
                self._unseen = f"{UNKNOWN_USER}: {error.filename} cannot be read"

    def of(self, folder: Path) -> str:
        """Return who uses the device that a folder of sysfs describes, empty if nobody; blocks."""
        for node in interface_nodes(folder):
            if (process := self._program(node)) is not None:
                return _name(process)
            if self._unseen:
                return self._unseen
            if node.kind == "b" and (user := self._disks.user_of(node)):
                return user
        return self._of_libusb(folder)

    def _of_libusb(self, folder: Path) -> str:
        """Return who has claimed an interface, as libusb does: the kernel then shows no node of it.

        Who has only opened the device's own node, to list what there is, does not use it.
        """
        try:
            parts = list(folder.glob(f"{folder.name}:*"))
        except OSError:  # it was unplugged this moment
            return ""
        if not any(driver_of(each) == _CLAIMED for each in parts):
            return ""
        node = own_node(folder)
        process = None if node is None else self._program(node)
        return _UNKNOWN if process is None else _name(process)

    def _program(self, node: Node) -> Path | None:
        by_number = self._programs.get((node.kind, *node.number))
        return self._programs.get(node.path) or by_number


def sees_all(proc: Path) -> bool:
    """Return whether the processes that are seen are all of this computer; blocks."""
    try:
        return os.readlink(proc / "self/ns/pid") == _ALL
    except FileNotFoundError:  # a kernel without containers
        return True


def _unseen(proc: Path, processes: Sequence[Path]) -> str:
    """Return the user that a device may have although it is not seen, empty if all are seen."""
    if not sees_all(proc):
        return f"{UNKNOWN_USER}: {CONTAINED}"
    first = proc / FIRST
    # procfs with hidepid=2 leaves out the processes of others (proc(5)).
    return "" if first in processes else f"{UNKNOWN_USER}: {first} is not seen"


def _open_nodes(process: Path) -> Iterator[str | Number]:
    """Yield the nodes that a process has open, by path and by number.

    A container may know a node by another path; its number is the kernel's. Raises PermissionError
    where that cannot be seen.
    """
    try:
        descriptors = list((process / "fd").iterdir())
    except PermissionError:
        raise
    except OSError:  # it has ended
        return
    for each in descriptors:
        try:
            path = os.readlink(each)
        except PermissionError:
            raise
        except OSError:
            continue
        if path.startswith(_DEV):
            yield path
        if _may_be_node(path):
            with suppress(OSError):
                yield from _numbers(each.stat())


def _may_be_node(path: str) -> bool:
    """Return whether a path is one of a `dev` folder: to ask any other file may take for ever.

    Its file system may be one of a server that does not answer.
    """
    folder = os.path.dirname(path)
    is_device = path.startswith(_DEV) or folder.rpartition("/")[2] == "dev"
    return is_device and path not in _NOT_OF_USB


def _numbers(found: os.stat_result) -> Iterator[Number]:
    for kind, is_kind in (("c", stat.S_ISCHR), ("b", stat.S_ISBLK)):
        if is_kind(found.st_mode):
            yield kind, os.major(found.st_rdev), os.minor(found.st_rdev)


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
