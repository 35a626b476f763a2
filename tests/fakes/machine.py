"""A simulated laser in a separate process, and what it recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.processes import simulated

DOOR = b"\x84"
BRAKING_S = 0.25  # of the simulated machine, by its own clock, from 100 mm/s


@dataclass(slots=True)
class Machine:
    """GRBL on a pty; `record` is read on at each question, times are monotonic seconds."""

    path: Path
    record: Path
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _pieces: list[tuple[float, bytes]] = field(default_factory=list)  # when they came
    _received: bytearray = field(default_factory=bytearray)
    _read_bytes: int = 0

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry so far."""
        with self.record.open("rb") as file:
            file.seek(self._read_bytes)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(end)
        for entry in map(json.loads, whole.splitlines()):
            self._entries.append(entry)
            if "rx" in entry:
                self._pieces.append((entry["t"], bytes.fromhex(entry["rx"])))
                self._received += self._pieces[-1][1]
        return self._entries

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

    def beam_in_hold(self, number: int = 0) -> float:
        """Return for how many seconds the beam has been on since that door byte and its braking."""
        return self.beam_on_between(self.arrivals(DOOR)[number] + BRAKING_S, time.monotonic())

    def engraving(self) -> list[list[float]]:
        """Return what was engraved."""
        return [entry["cut"] for entry in self.entries() if "cut" in entry]

    def received(self) -> bytes:
        """Return every byte that came."""
        self.entries()
        return bytes(self._received)

    def has(self, data: bytes, since: int = 0) -> bool:
        """Return whether those bytes came, from an offset on; a service may ask between them."""
        return data in self.received()[since:].replace(b"?", b"")

    def arrivals(self, byte: bytes) -> list[float]:
        """Return when each of those bytes came."""
        self.entries()
        return [at for at, data in self._pieces for _ in range(data.count(byte))]

    def events(self, name: str) -> int:
        """Return how often something happened."""
        return len(self.times_of(name))

    def times_of(self, name: str) -> list[float]:
        """Return when something happened."""
        return [entry["t"] for entry in self.entries() if entry.get("event") == name]


@contextmanager
def simulated_machine(home: Path) -> Iterator[Machine]:
    """Run a simulated GRBL."""
    home.mkdir(parents=True, exist_ok=True)
    with simulated("grbl", home) as (path, record):
        yield Machine(Path(path), record)
