"""Runs one of our programs and notes which files its calls pass on their way to given places.

`python -m tools.traced LOG STATIONS MODULE ARGUMENTS...`; STATIONS are `file.py:function`, joined
by commas. Each call of a station adds a line to LOG: the station and the files of the stack that
led to it, from the event loop's callback or the thread's start on, outermost first. Only our own
files count, and only frames that are still running: what returned is not on the way.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
from types import FrameType
from typing import Any

_OURS = f"{os.sep}usbshare{os.sep}"
_GENERATED = f"{os.sep}proto{os.sep}gen{os.sep}"
# uvloop has no frames of its own: what runs it is where its callbacks start.
_STARTS = (
    f"asyncio{os.sep}events.py",
    f"{os.sep}threading.py",
    f"usbshare{os.sep}base{os.sep}event_loop.py",
    "runpy.py",
    "runpy>",
)


def _own_name(path: str) -> str:
    """Return a path within our packages, empty for other people's code."""
    if _OURS not in path or _GENERATED in path:
        return ""
    return path.rpartition(_OURS)[2].replace(os.sep, "/")


def _way(frame: FrameType | None) -> list[str]:
    files: list[str] = []
    while frame is not None and not frame.f_code.co_filename.endswith(_STARTS):
        name = _own_name(frame.f_code.co_filename)
        if name and name not in files:
            files.append(name)
        frame = frame.f_back
    return files[::-1]


def _tracer(log: int, stations: frozenset[tuple[str, str]]) -> Any:
    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        name = _own_name(code.co_filename)
        if name and (name, code.co_name) in stations:
            line = {"station": f"{name}:{code.co_name}", "files": _way(frame)}
            os.write(log, json.dumps(line).encode() + b"\n")

    return profile


def main() -> None:
    """Trace the module that the command line names."""
    path, stations, module = sys.argv[1:4]
    places = {tuple(each.rsplit(":", 1)) for each in stations.split(",")}
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    profile = _tracer(log, frozenset((file, function) for file, function in places))
    threading.setprofile(profile)
    sys.setprofile(profile)
    sys.argv[:] = [module, *sys.argv[4:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
