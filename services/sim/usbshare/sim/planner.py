"""GRBL's look-ahead: how fast each queued block may start so that the machine can still stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from usbshare.sim.settings import Settings

BLOCKS = 15
# What $120=0 leaves; the firmware would divide by it.
_LEAST_ACCELERATION = 1e-3

Vector = tuple[float, float, float]


class Move(NamedTuple):
    """One straight move as the parser requests it; `rate` is mm/s, 0 for a rapid."""

    target: Vector
    rate: float
    power: float
    dynamic: bool = False
    line_number: int = 0
    fixed_rate: bool = False


@dataclass(slots=True)
class Block:
    """A queued move; speeds in mm/s, `left` is what remains of its length."""

    move: Move
    start: Vector
    unit: Vector
    length: float
    left: float
    acceleration: float
    rapid_rate: float
    junction_sqr: float
    nominal: float = 0.0
    entry_sqr: float = 0.0
    max_entry_sqr: float = 0.0

    def position(self) -> Vector:
        """Return where the machine is when `left` remains."""
        done = self.length - self.left
        (x, y, z), (u, v, w) = self.start, self.unit
        return (x + u * done, y + v * done, z + w * done)


class Planner:
    """The queue of at most 15 blocks; the first one is the one being executed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.blocks: list[Block] = []
        self.feed_percent = 100
        self.rapid_percent = 100
        self.reset((0.0, 0.0, 0.0))

    def reset(self, position: Vector) -> None:
        """Empty the queue; the next block starts at `position`."""
        self.blocks.clear()
        self.position = position
        self._planned = 0
        self._last_unit: Vector | None = None
        self._last_nominal = 0.0

    @property
    def full(self) -> bool:
        """Whether the main loop must wait."""
        return len(self.blocks) >= BLOCKS

    @property
    def free(self) -> int:
        """Free blocks, as `Bf:` reports."""
        return BLOCKS - len(self.blocks)

    def append(self, move: Move) -> bool:
        """Queue a move and plan again; False for a move shorter than a motor step."""
        (a, b, c), (d, e, f) = self.position, move.target
        x, y, z = d - a, e - b, f - c
        u, v, w = self._settings.steps_per_mm
        if abs(x) * u < 0.5 and abs(y) * v < 0.5 and abs(z) * w < 0.5:
            return False
        self.blocks.append(self._block(move, x, y, z))
        self.position = move.target
        self._recalculate()
        return True

    def discard_first(self) -> None:
        """Drop the block that was executed."""
        del self.blocks[0]
        self._planned = max(0, self._planned - 1)
        if not self.blocks:
            self._last_unit = None

    def replan(self) -> None:
        """Plan everything again, after an override or a hold."""
        last = math.inf
        for block in self.blocks:
            self._set_nominal(block, last)
            last = block.nominal
        self._last_nominal = last if self.blocks else 0.0
        self._planned = 0
        self._recalculate()

    def _block(self, move: Move, x: float, y: float, z: float) -> Block:
        length = math.sqrt(x * x + y * y + z * z)
        unit = (x / length, y / length, z / length)
        acceleration = max(_along(unit, self._settings.acceleration), _LEAST_ACCELERATION)
        rate = _along(unit, self._settings.rate_mm_s)
        junction = self._junction_sqr(unit)
        block = Block(move, self.position, unit, length, length, acceleration, rate, junction)
        self._set_nominal(block, self._last_nominal)
        self._last_unit, self._last_nominal = unit, block.nominal
        return block

    def _junction_sqr(self, unit: Vector) -> float:
        last = self._last_unit
        if last is None or not self.blocks:
            return 0.0
        cosine = -(last[0] * unit[0] + last[1] * unit[1] + last[2] * unit[2])
        if cosine < -0.999999:
            return math.inf
        if cosine > 0.999999:
            return 0.0
        half_sine = math.sqrt((1 - cosine) / 2)
        x, y, z = unit[0] - last[0], unit[1] - last[1], unit[2] - last[2]
        size = math.sqrt(x * x + y * y + z * z)
        direction = (x / size, y / size, z / size)
        acceleration = _along(direction, self._settings.acceleration)
        return acceleration * self._settings[11] * half_sine / (1 - half_sine)

    def _set_nominal(self, block: Block, last_nominal: float) -> None:
        move = block.move
        if move.rate == 0:
            nominal = block.rapid_rate * self.rapid_percent / 100
        else:
            percent = 100 if move.fixed_rate else self.feed_percent
            nominal = min(move.rate * percent / 100, block.rapid_rate)
        block.nominal = max(nominal, 1 / 60)
        limit = min(block.nominal, last_nominal)
        block.max_entry_sqr = min(limit * limit, block.junction_sqr)

    def _recalculate(self) -> None:
        blocks, planned = self.blocks, self._planned
        exit_sqr = 0.0
        for index in range(len(blocks) - 1, planned, -1):
            block = blocks[index]
            exit_sqr += 2 * block.acceleration * block.left
            if exit_sqr > block.max_entry_sqr:  # noqa: PLR1730 - min() is slow, and this is hot
                exit_sqr = block.max_entry_sqr
            block.entry_sqr = exit_sqr
        self._plan_forward(planned)

    def _plan_forward(self, planned: int) -> None:
        # Blocks before a full-acceleration block or a junction at its limit cannot get better.
        blocks = self.blocks
        if len(blocks) < 2:
            return
        before = blocks[planned]
        for index in range(planned + 1, len(blocks)):
            block = blocks[index]
            if before.entry_sqr < block.entry_sqr:
                reachable = before.entry_sqr + 2 * before.acceleration * before.left
                if reachable < block.entry_sqr:
                    block.entry_sqr = reachable
                    self._planned = index
            if block.entry_sqr == block.max_entry_sqr:
                self._planned = index
            before = block


def _along(unit: Vector, limits: Vector) -> float:
    """Return the greatest value along a direction that exceeds no axis's limit."""
    x, y, z = abs(unit[0]), abs(unit[1]), abs(unit[2])
    best = math.inf
    if x:
        best = limits[0] / x
    if y:
        best = min(best, limits[1] / y)
    return min(best, limits[2] / z) if z else best
