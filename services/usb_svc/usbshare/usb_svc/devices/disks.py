"""Which part of the kernel uses a disk, and would lose data if the disk were lent."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from usbshare.base.os_errors import in_words
from usbshare.usb_svc.devices.nodes import Node

_ESCAPED = re.compile(r"\\([0-7]{3})")
FIRST = "1"  # the process whose mounts are the host's own
UNKNOWN_USER = "an unknown user"
CLAIMED = "the kernel, which has it mounted or made another disk of it"


class Disks:
    """The file systems, stacked disks and swap areas of one moment; every method blocks.

    A mount counts in whatever namespace a process has it, a container's too. What cannot be read
    counts as a use.
    """

    def __init__(self, proc: Path, sys: Path) -> None:
        self._proc = proc
        self._sys = sys
        self._unread = ""

    def user_of(self, node: Node) -> str:
        """Return the user of a block device, empty if there is none."""
        mounts, name = self._mounts, node.path.rpartition("/")[2]
        place = mounts.get(node.number) or mounts.get(node.path)
        if place is not None:
            return f"the file system at {place}"
        if (holder := _holder(node.folder, self._sys)) is not None:
            return f"{holder}, a disk that is made of it"
        if node.path in self._swaps:
            return "the host's swap"
        if name in self._of_btrfs:
            return "a file system (btrfs)"
        if (loop := self._loops.get(node.path)) is not None:
            return f"{loop}, a disk that is made of it"
        return f"{UNKNOWN_USER}: {self._unread}" if self._unread else ""

    @cached_property
    def _mounts(self) -> dict[tuple[int, int] | str, str]:
        """Where each file system is mounted, by its disk's number and by its source."""
        found: dict[tuple[int, int] | str, str] = {}
        for process in _one_of_each_namespace(self._proc):
            try:
                lines = (process / "mountinfo").read_text(errors="replace").splitlines()
            except OSError as error:  # one that has ended has none
                if process.name == FIRST or isinstance(error, PermissionError):
                    self._unread = f"{process / 'mountinfo'} cannot be read ({in_words(error)})"
                continue
            for number, source, place in _parsed(lines):
                found.setdefault(number, place)
                found.setdefault(source, place)
        return found

    @cached_property
    def _swaps(self) -> set[str]:
        path = self._proc / "swaps"
        try:
            lines = path.read_text(errors="replace").splitlines()[1:]
        except FileNotFoundError:  # a kernel without swap
            return set()
        except OSError as error:
            self._unread = f"{path} cannot be read ({in_words(error)})"
            return set()
        return {_unescaped(line.split()[0]) for line in lines if line.strip()}

    @cached_property
    def _of_btrfs(self) -> set[str]:
        """The disks of mounted btrfs; only one of several is the source of the mount."""
        return {each.name for each in (self._sys / "fs/btrfs").glob("*/devices/*")}

    @cached_property
    def _loops(self) -> dict[str, str]:
        found = {}
        for file in (self._sys / "block").glob("loop*/loop/backing_file"):
            with suppress(OSError):
                found[file.read_text(errors="replace").strip()] = file.parent.parent.name
        return found


def is_claimed(nodes: Iterable[Node], proc: Path) -> bool:
    """Return whether the kernel itself says that it uses one of these disks; blocks.

    It does so to who opens a disk exclusively (open(2), O_EXCL; block/bdev.c, bd_may_claim): also
    of uses that no file shows. For a moment nothing can be mounted, so do not ask often. Where the
    host's /dev, or a disk, may not be opened this returns False.
    """
    return any(_is_claimed(each, proc) for each in nodes if each.is_disk)


def _is_claimed(node: Node, proc: Path) -> bool:
    path = proc / FIRST / "root" / node.path.lstrip("/")
    flags = os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        return error.errno == errno.EBUSY
    os.close(descriptor)
    return False


def _one_of_each_namespace(proc: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for process in sorted(proc.glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            namespace = os.readlink(process / "ns/mnt")
        except OSError:
            namespace = str(process)
        if namespace not in seen:
            seen.add(namespace)
            yield process


def _parsed(lines: Iterable[str]) -> Iterator[tuple[tuple[int, int], str, str]]:
    """Yield number, source and place of each mount (proc_pid_mountinfo(5))."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, more = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(more) < 2:
            continue
        major, _, minor = fields[2].partition(":")
        if major.isdecimal() and minor.isdecimal():
            yield (int(major), int(minor)), _unescaped(more[1]), _unescaped(fields[4])


def _holder(folder: Path, sys: Path) -> str | None:
    """Return the disk that LVM, LUKS, RAID or a cache made of another one."""
    try:
        holder = next((folder / "holders").iterdir(), None)
    except FileNotFoundError:  # no disk, or unplugged
        return None
    except OSError as error:
        return f"something that cannot be seen ({in_words(error)})"
    if holder is None:
        return None
    try:
        name = (sys / "block" / holder.name / "dm/name").read_text(errors="replace").strip()
    except OSError:
        return holder.name
    return f"{holder.name} ({name})"


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
