"""What a process of ours holds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fakes.processes import Process

SETTLE_S = 60.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    descriptors: int
    threads: int
    resident_kib: int


def footprint(process: Process) -> Footprint:
    folder = Path(f"/proc/{process.process.pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return Footprint(
        len(list((folder / "fd").iterdir())),
        int(status["Threads"]),
        int(status["VmRSS"].split()[0]),
    )


def settled_footprint(process: Process, descriptors: int) -> Footprint:
    """Return what it holds once it has no more descriptors than that, or after a minute.

    A process may have one more for a moment: a file that is read, a name that is looked up.
    """
    end = time.monotonic() + SETTLE_S
    while (found := footprint(process)).descriptors > descriptors and time.monotonic() < end:
        time.sleep(POLL_S)
    return found
