"""Runs one of our programs on a disk that can be frozen: then no file call returns until the thaw.

    python frozen_disk.py serial-svc --listen ...

What a hung network disk or `fsfreeze` does to a process is done here by an audit hook (opening,
renaming, removing, listing) and by stand-ins for the calls that have none (stat, fsync, write to a
plain file). Devices, /proc and /sys are no disk. Commands come by the pipe CONTROL_VARIABLE: `f`
freezes, `t` thaws. While it is frozen, the stack of each call on the main thread, where the event
loop is, goes to the pipe REPORT_VARIABLE as it blocks: that is a fault, whatever it delays.
"""

from __future__ import annotations

import faulthandler
import os
import runpy
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

CONTROL_VARIABLE, REPORT_VARIABLE = "FROZEN_CONTROL", "FROZEN_REPORT"
# A folder that is frozen from the start, which is all that is frozen then.
FOLDER_VARIABLE = "FROZEN_FOLDER"
_NO_DISK = ("/dev/", "/proc/", "/sys/")
_AUDITED = {
    "open",
    "os.chmod",
    "os.link",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.symlink",
    "os.truncate",
    "os.utime",
}
_BY_PATH = ("stat", "lstat", "access", "readlink", "statvfs")
_BY_DESCRIPTOR = ("fsync", "fdatasync", "write", "ftruncate")


class Disk:
    """Frozen or not; `touch` returns when it is not."""

    def __init__(self, report: int) -> None:
        self._report = report
        self._write = os.write
        self._fstat = os.fstat
        self._goes_on = threading.Event()
        self._folder = os.environ.get(FOLDER_VARIABLE, "")
        if not self._folder:
            self._goes_on.set()

    def follow(self, control: int) -> None:
        """Freeze and thaw as the pipe says, for ever."""
        while command := os.read(control, 1):
            if command == b"f":
                self._goes_on.clear()
            else:
                self._goes_on.set()
            self._write(self._report, b"frozen\n" if command == b"f" else b"thawed\n")

    def touch(self, path: object) -> None:
        """Block while the disk is frozen, unless the path is on none."""
        if self._goes_on.is_set() or not _is_on_disk(path) or not self._is_frozen(path):
            return
        if threading.current_thread() is threading.main_thread():
            self._write(self._report, f"BLOCKED {path!r}\n{_stack()}\n".encode())
        self._goes_on.wait()

    def _is_frozen(self, path: object) -> bool:
        text = os.fsdecode(os.fspath(path)) if isinstance(path, str | bytes | os.PathLike) else ""
        return not self._folder or f"{text}/".startswith(f"{self._folder}/")

    def touch_descriptor(self, descriptor: int) -> None:
        """Block likewise if the descriptor is of a plain file."""
        if not self._goes_on.is_set() and stat.S_ISREG(self._fstat(descriptor).st_mode):
            self.touch(f"/descriptor {descriptor}")


def _stack() -> str:
    """Return who called, without the lines, for which files would be read."""
    frames = (frame for frame, _ in traceback.walk_stack(sys._getframe(2)))
    calls = (
        f"  {each.f_code.co_filename}:{each.f_lineno} {each.f_code.co_name}" for each in frames
    )
    return "\n".join(calls)


def _is_on_disk(path: object) -> bool:
    if isinstance(path, int):
        return False
    text = os.fsdecode(os.fspath(path)) if isinstance(path, str | bytes | os.PathLike) else ""
    return text != "/" and not f"{text}/".startswith(_NO_DISK)


def _install(disk: Disk) -> None:
    def by_path(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **named: Any) -> Any:
            disk.touch(path)
            return real(path, *rest, **named)

        return call

    def by_descriptor(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *rest: Any) -> Any:
            disk.touch_descriptor(descriptor)
            return real(descriptor, *rest)

        return call

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _AUDITED:
            disk.touch(arguments[0] if arguments else "")

    for name in _BY_PATH:
        setattr(os, name, by_path(getattr(os, name)))
    for name in _BY_DESCRIPTOR:
        setattr(os, name, by_descriptor(getattr(os, name)))
    sys.addaudithook(audited)


def main() -> None:
    """Run the console script, or the module, that is named first."""
    control, report = int(os.environ[CONTROL_VARIABLE]), int(os.environ[REPORT_VARIABLE])
    disk = Disk(report)
    _install(disk)
    faulthandler.register(signal.SIGUSR1, report)  # which thread waits for what
    threading.Thread(target=disk.follow, args=(control,), daemon=True).start()
    sys.argv = sys.argv[1:]
    name = os.path.basename(sys.argv[0])
    if scripts := entry_points(group="console_scripts", name=name):
        next(iter(scripts)).load()()
    else:
        runpy.run_module(name, run_name="__main__")


if __name__ == "__main__":
    main()
