"""How far the moves of a job reach, and where they leave the machine's travel."""

from __future__ import annotations

import math

from usbshare.analysis.records import Box
from usbshare.sim.planner import Move, Vector

# Less than a motor step; numbers in files are rounded.
TOLERANCE_MM = 0.005


class Extent:
    """The boxes of all moves and of those with the beam on; set `line` before its moves come."""

    def __init__(self, travel: Box | None) -> None:
        self._travel = travel
        self._box = _Bounds()
        self._burnt = _Bounds()
        self.line = 0
        # (axis, -1 or 1) and the line that was the first to go beyond.
        self.beyond: dict[tuple[int, int], int] = {}

    def add(self, start: Vector, move: Move) -> None:
        """Add a move; a job's first rapid begins wherever the machine is."""
        box, burnt = self._box, self._burnt
        if box.empty and move.rate:
            self._grow(start)
        if not box.holds(move.target):
            self._grow(move.target)
        if move.power > 0:
            if not burnt.holds(start):
                burnt.grow(start)
            if not burnt.holds(move.target):
                burnt.grow(move.target)

    def box(self, zero: Vector) -> Box | None:
        """Return the box of all moves, relative to a zero point."""
        return self._box.box(zero)

    def burnt_box(self, zero: Vector) -> Box | None:
        """Return the box of the moves with the beam on, relative to a zero point."""
        return self._burnt.box(zero)

    def _grow(self, point: Vector) -> None:
        self._box.grow(point)
        if self._travel is None:
            return
        for axis, value in enumerate(point):
            if value < self._travel.low[axis] - TOLERANCE_MM:
                self.beyond.setdefault((axis, -1), self.line)
            elif value > self._travel.high[axis] + TOLERANCE_MM:
                self.beyond.setdefault((axis, 1), self.line)


class _Bounds:
    __slots__ = ("high", "low")

    def __init__(self) -> None:
        self.low: Vector = (math.inf, math.inf, math.inf)
        self.high: Vector = (-math.inf, -math.inf, -math.inf)

    @property
    def empty(self) -> bool:
        return self.low[0] == math.inf

    def holds(self, point: Vector) -> bool:
        x, y, z = point
        (a, b, c), (d, e, f) = self.low, self.high
        return a <= x <= d and b <= y <= e and c <= z <= f

    def grow(self, point: Vector) -> None:
        (x, y, z), (a, b, c), (d, e, f) = point, self.low, self.high
        self.low = (min(x, a), min(y, b), min(z, c))
        self.high = (max(x, d), max(y, e), max(z, f))

    def box(self, zero: Vector) -> Box | None:
        if self.empty:
            return None
        (x, y, z), (a, b, c), (d, e, f) = zero, self.low, self.high
        return Box((a - x, b - y, c - z), (d - x, e - y, f - z))
