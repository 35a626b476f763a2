"""What a process of ours holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fakes.processes import Process


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
