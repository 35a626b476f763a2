"""Which programs of this computer have a device open, as far as this user may read /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LOCK_FOLDER = Path("/var/lock")


@dataclass(frozen=True, slots=True)
class Process:
    """A running program."""

    pid: int
    name: str
    is_serial_svc: bool

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


class Processes:
    """The programs that run, from a /proc; all but this one."""

    def __init__(self, proc: Path = _PROC, lock_folder: Path = _LOCK_FOLDER) -> None:
        self._proc = proc
        self._lock_folder = lock_folder

    @property
    def are_known(self) -> bool:
        """Whether this system has a /proc."""
        return (self._proc / "self").exists()

    def named(self, name: str) -> list[Process]:
        """Return the processes of that name."""
        found = (self._process(pid) for pid in self._pids())
        return [process for process in found if process is not None and process.name == name]

    def holding(self, device: Path) -> list[Process]:
        """Return the processes that have the device open or locked, or left a lock file."""
        path = device.resolve()
        pids = {pid for pid in self._pids() if self._has_open(pid, path)}
        pids |= self._locking(path) | self._noted(path)
        found = (self._process(pid) for pid in sorted(pids - {os.getpid()}))
        return [process for process in found if process is not None]

    def some_are_hidden(self) -> bool:
        """Return whether there are processes that this user may not inspect."""
        folders = (self._proc / str(pid) / "fd" for pid in self._pids())
        return any(folder.exists() and not os.access(folder, os.R_OK) for folder in folders)

    def _pids(self) -> Iterator[int]:
        try:
            entries = sorted(entry.name for entry in self._proc.iterdir())
        except OSError:
            return
        yield from (int(n) for n in entries if n.isdecimal() and int(n) != os.getpid())

    def _has_open(self, pid: int, path: Path) -> bool:
        try:
            files = list((self._proc / str(pid) / "fd").iterdir())
        except OSError:  # of another user, or ended in the meantime
            return False
        return any(_target(file) == str(path) for file in files)

    def _locking(self, path: Path) -> set[int]:
        """Return who holds an flock on the device: /proc/locks shows other users' too."""
        try:
            found = path.stat()
            lines = (self._proc / "locks").read_text().splitlines()
        except OSError:
            return set()
        device, inode = found.st_dev, str(found.st_ino)
        where = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
        locks = (line.split() for line in lines if "->" not in line)
        return {int(lock[4]) for lock in locks if len(lock) > 5 and lock[5] == where}

    def _noted(self, path: Path) -> set[int]:
        """Return the owner of the lock file that minicom and others leave (FHS 5.9)."""
        try:
            pid = int((self._lock_folder / f"LCK..{path.name}").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return set()
        return {pid} if (self._proc / str(pid)).exists() else set()

    def _process(self, pid: int) -> Process | None:
        folder = self._proc / str(pid)
        try:
            name = (folder / "comm").read_text().strip()
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return None
        return Process(pid, name, any(_is_serial_svc(argument) for argument in arguments[:3]))


def _is_serial_svc(argument: str) -> bool:
    return os.path.basename(argument) == "serial-svc" or argument == "usbshare.serial_svc"


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
