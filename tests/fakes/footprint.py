"""What a process of ours holds."""

from __future__ import annotations

from contextlib import suppress
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


def open_files(process: Process, folder: Path) -> list[Path]:
    """Return which files below a folder it has open just now."""
    targets = []
    for descriptor in Path(f"/proc/{process.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            targets.append(descriptor.readlink())
    return [target for target in targets if target.is_relative_to(folder)]
