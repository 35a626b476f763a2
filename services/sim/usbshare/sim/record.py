"""The memory of a simulated controller: bytes, beam and engraved path, in order of time."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

# Far more than any job; a simulator left running for weeks must not eat the host.
LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Reception:
    """Bytes that arrived together."""

    time_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class BeamInterval:
    """The beam on at one power without a break."""

    start_s: float
    end_s: float
    power: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight piece of path with the beam on, in machine millimetres."""

    x0: float
    y0: float
    x1: float
    y1: float
    power: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once, such as `reset`."""

    time_s: float
    name: str


class Record:
    """What happened to a controller; the oldest entries are dropped when a list exceeds `limit`.

    With a path, every entry is also appended there as one JSON object per line once `open` was
    called: `rx` (hex), `lost` (bytes), `beam` (power, 0 is off), `cut` ([x0, y0, x1, y1, power])
    or `event`, each with `t` in seconds.
    """

    def __init__(self, path: Path | None = None, *, limit: int = LIMIT) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._beam_since_s = 0.0
        self._burnt_s = 0.0
        self.receptions: deque[Reception] = deque(maxlen=limit)
        self.intervals: deque[BeamInterval] = deque(maxlen=limit)
        self.segments: deque[Segment] = deque(maxlen=limit)
        self.events: deque[Event] = deque(maxlen=limit)
        self.received_bytes = 0
        self.lost_bytes = 0
        self.beam_power = 0.0

    def open(self) -> None:
        """Start appending to the path, if there is one; OSError when that is not possible."""
        if self._path is not None and self._file is None:
            self._file = self._path.open("a", encoding="ascii", buffering=1)

    def close(self) -> None:
        """Stop appending; the records stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def receive(self, data: bytes, now_s: float) -> None:
        """Note bytes that arrived, including lost ones."""
        self.receptions.append(Reception(now_s, data))
        self.received_bytes += len(data)
        self._write(now_s, "rx", data.hex())

    def lose(self, count: int, now_s: float) -> None:
        """Note bytes for which the receive buffer had no room."""
        self.lost_bytes += count
        self._write(now_s, "lost", count)

    def beam(self, power: float, now_s: float) -> None:
        """Note the power of the beam from now on; 0 is off."""
        if power == self.beam_power:
            return
        if self.beam_power:
            self._end_interval(now_s)
        self.beam_power, self._beam_since_s = power, now_s
        self._write(now_s, "beam", power)

    def cut(self, segment: Segment, now_s: float) -> None:
        """Note a finished piece of path."""
        self.segments.append(segment)
        s = segment
        self._write(now_s, "cut", [s.x0, s.y0, s.x1, s.y1, s.power])

    def event(self, name: str, now_s: float) -> None:
        """Note that something happened."""
        self.events.append(Event(now_s, name))
        self._write(now_s, "event", name)

    @property
    def received(self) -> bytes:
        """Every byte received, in order."""
        return b"".join(reception.data for reception in self.receptions)

    def beam_on_s(self, now_s: float) -> float:
        """Return how long the beam has been on in all."""
        running = now_s - self._beam_since_s if self.beam_power else 0.0
        return self._burnt_s + running

    def engraving(self) -> bytes:
        """Return the engraved path as text, which is equal for equal engravings with any timing."""
        rows = (f"{s.x0:.3f} {s.y0:.3f} {s.x1:.3f} {s.y1:.3f} {s.power:g}" for s in self.segments)
        return "\n".join(rows).replace("-0.000", "0.000").encode("ascii")

    def _end_interval(self, now_s: float) -> None:
        self._burnt_s += now_s - self._beam_since_s
        self.intervals.append(BeamInterval(self._beam_since_s, now_s, self.beam_power))

    def _write(self, now_s: float, key: str, value: object) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"t": round(now_s, 6), key: value}) + "\n")
