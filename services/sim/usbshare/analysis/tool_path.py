"""The tool path, as segments in work coordinates."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from usbshare.analysis.analyse import MAX_BYTES, Progress, check_file
from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.extent import Extent
from usbshare.analysis.jumping_machine import JumpingMachine
from usbshare.analysis.program_lines import program_lines
from usbshare.analysis.records import Box, MachineFacts
from usbshare.analysis.travel import Travel
from usbshare.sim.planner import Move, Vector
from usbshare.sim.receive import LINE_CHARACTERS, clean_line

# The most segments of a path; a longer path is cut, and says so.
MAX_SEGMENTS = 4_000_000
# No machine goes there; numbers in a file can be anything.
FARTHEST_MM = 1e7
_VALUES = 5
_MAX_POWER = 30
_DEFAULT_POWER = 1000.0
_LINES_A_REPORT = 1000

# x0, y0, x1, y1, power from 0 to 1, line
Segment = tuple[float, float, float, float, float, int]


@dataclass(slots=True)
class ToolPath:
    """Segments in order; `box` covers all, including those that `is_cut` left out."""

    box: Box | None = None
    burnt_box: Box | None = None
    travel: Box | None = None
    is_cut: bool = False
    values: array[float] = field(default_factory=lambda: array("f"))
    lines: array[int] = field(default_factory=lambda: array("L"))

    def segments(self) -> Iterator[Segment]:
        """Yield the segments."""
        values = self.values
        for at, line in zip(range(0, len(values), _VALUES), self.lines, strict=True):
            x0, y0, x1, y1, power = values[at : at + _VALUES]
            yield x0, y0, x1, y1, power, line


def tool_path(
    path: Path,
    machine: MachineFacts | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> ToolPath:
    """Follow a file's moves; raises InvalidArgumentError if it cannot be G-code, OSError."""
    check_file(path, max_bytes)
    collector = _Collector(machine)
    for line in program_lines(path):
        if progress is not None and line.number % _LINES_A_REPORT == 0:
            progress(line.number)
        if line.code and not collector.take(line.number, line.code):
            break
    return collector.path()


class _Collector:
    def __init__(self, machine: MachineFacts | None) -> None:
        settings = machine.settings if machine is not None else {}
        travel = Travel(machine)
        self._zero = travel.zero
        self._full_power = settings.get(_MAX_POWER) or _DEFAULT_POWER
        self._extent = Extent(None)
        self._path = ToolPath(travel=travel.in_work_coordinates())
        self._dry_run = DryRun(JumpingMachine(settings, travel.zero, self._add))
        self._line = 0

    def take(self, number: int, code: bytes) -> bool:
        """Follow a line and return whether more lines fit."""
        self._line = number
        text = clean_line(code).decode("ascii")
        if len(text) <= LINE_CHARACTERS:
            self._dry_run.run(text, 0)
        return not self._dry_run.asleep

    def path(self) -> ToolPath:
        """Return the path found so far."""
        self._path.box = self._extent.box(self._zero)
        self._path.burnt_box = self._extent.burnt_box(self._zero)
        return self._path

    def _add(self, start: Vector, move: Move) -> None:
        path = self._path
        self._extent.add(start, move)
        if len(path.lines) >= MAX_SEGMENTS:
            path.is_cut = True
            return
        (x0, y0, _), (x1, y1, _), (u, v, _) = start, move.target, self._zero
        power = min(move.power / self._full_power, 1.0)
        ends = (x0 - u, y0 - v, x1 - u, y1 - v)
        if min(ends) < -FARTHEST_MM or max(ends) > FARTHEST_MM:
            ends = (_near(ends[0]), _near(ends[1]), _near(ends[2]), _near(ends[3]))
        path.values.extend((*ends, power))
        path.lines.append(self._line)


def _near(value: float) -> float:
    return min(max(value, -FARTHEST_MM), FARTHEST_MM)
