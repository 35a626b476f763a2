"""A simulated laser in a process of its own, and what it recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.processes import simulated


@dataclass(frozen=True, slots=True)
class Machine:
    """GRBL on a pty; `record` is read anew at each question, times are monotonic seconds."""

    path: Path
    record: Path

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry so far."""
        lines = self.record.read_text(encoding="ascii").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def beam_on_between(self, start: float, end: float) -> float:
        """Return for how many seconds the beam was on."""
        total, since = 0.0, None
        for entry in self.entries():
            if "beam" not in entry:
                continue
            if since is not None:
                total += max(0.0, min(entry["t"], end) - max(since, start))
            since = entry["t"] if entry["beam"] else None
        return total + (max(0.0, end - max(since, start)) if since is not None else 0.0)

    def engraving(self) -> list[list[float]]:
        """Return what was engraved."""
        return [entry["cut"] for entry in self.entries() if "cut" in entry]

    def received(self) -> bytes:
        """Return every byte that came."""
        return b"".join(bytes.fromhex(e["rx"]) for e in self.entries() if "rx" in e)

    def events(self, name: str) -> int:
        """Return how often something happened."""
        return sum(entry.get("event") == name for entry in self.entries())


@contextmanager
def simulated_machine(home: Path) -> Iterator[Machine]:
    """Run a simulated GRBL."""
    home.mkdir(parents=True, exist_ok=True)
    with simulated("grbl", home) as (path, record):
        yield Machine(Path(path), record)
