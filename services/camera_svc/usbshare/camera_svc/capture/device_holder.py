"""Which programs have a device open, as far as /proc tells this account."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def holders_of(path: str, proc: Path = _PROC) -> list[str]:
    """Return the other programs that have the device open, as `name (process 17)`."""
    device = os.path.realpath(path)
    own = os.getpid()
    pids = sorted(int(each.name) for each in proc.glob("[0-9]*") if each.name.isdecimal())
    return [_named(proc, pid) for pid in pids if pid != own and _has_open(proc, pid, device)]


def _has_open(proc: Path, pid: int, device: str) -> bool:
    try:
        return any(os.readlink(link) == device for link in (proc / str(pid) / "fd").iterdir())
    except OSError:  # of another account, or gone meanwhile
        return False


def _named(proc: Path, pid: int) -> str:
    try:
        name = (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        name = "a program"
    return f"{name} (process {pid})"
