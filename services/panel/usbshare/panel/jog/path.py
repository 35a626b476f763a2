"""The pieces of a jog: as short as the time for which a machine may move alone. Pure.

All pieces that a machine has are together as long as `ALONE_S` at the jog's feed. If anything
fails, it moves no further than these. Each position report makes room for the next piece, which
joins the earlier ones: the machine brakes only where it could not stop within its pieces. With
acceleration `a` and a distance `d` it reaches the speed `a * (sqrt(t**2 + 2*d/a) - t)`, where `t`
is the age of the report when the next piece arrives, and never more than the feed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot, isfinite

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.machines.gcode import relative_jog

# How long a machine may move while nothing can stop it.
ALONE_S = 0.1
# Shorter pieces would fill GRBL's planner of 15 before they fill that time.
LEAST_PIECE_S = 0.0125
LEAST_PIECE_MM = 0.005
# What a machine that does not say how fast it goes can be expected to reach, millimetres a minute.
UNKNOWN_FEED = 1000.0
# The rounding of positions.
_ROUNDED_MM = 0.01


@dataclass(frozen=True, slots=True)
class Direction:
    """Where to, as parts of the feed along it; `feed` in millimetres a minute."""

    x: float
    y: float
    z: float
    feed: float

    def __post_init__(self) -> None:
        """Refuse a zero direction; raises InvalidArgumentError."""
        parts = (self.x, self.y, self.z)
        if not all(isfinite(each) for each in (*parts, self.feed)) or self.feed <= 0:
            raise InvalidArgumentError("a jog needs a direction and a feed above 0")
        if not any(parts):
            raise InvalidArgumentError("the jog moves nothing: give x, y or z")

    @property
    def unit(self) -> tuple[float, float, float]:
        """The direction with the length 1."""
        length = hypot(self.x, self.y, self.z)
        return self.x / length, self.y / length, self.z / length

    def limited(self, rates: Sequence[float | None]) -> Direction:
        """Return it at the feed that the machine reaches, by the rates of its axes.

        Beyond it a piece would last longer than it says. Of an axis that is not known little is
        expected.
        """
        most = min(
            (UNKNOWN_FEED if rate is None else rate) / abs(part)
            for rate, part in zip(rates, self.unit, strict=True)
            if part
        )
        return self if self.feed <= most else replace(self, feed=most)

    @property
    def alone_mm(self) -> float:
        """How far a machine may move alone."""
        return max(2 * LEAST_PIECE_MM, self.feed / 60 * ALONE_S)

    @property
    def least_piece_mm(self) -> float:
        """The length of the shortest piece."""
        return max(LEAST_PIECE_MM, self.feed / 60 * LEAST_PIECE_S)


@dataclass(slots=True)
class Path:
    """One jog in one direction: what was sent of it, and how far the machine has come."""

    direction: Direction
    sent_mm: float = 0.0
    done_mm: float = 0.0
    _begin: tuple[float, ...] = field(default=())

    @property
    def may_send(self) -> bool:
        """Whether there is room for a piece, as far as the machine says where it is."""
        return self._room_mm >= self.direction.least_piece_mm

    def next_piece(self) -> str:
        """Return the next piece, which takes all the room, as a line."""
        piece = min(self._room_mm, self.direction.alone_mm)
        self.sent_mm += piece
        x, y, z = (part * piece for part in self.direction.unit)
        return relative_jog(x, y, z, self.direction.feed)

    @property
    def _room_mm(self) -> float:
        if not self.sent_mm:
            return self.direction.alone_mm
        if not self._begin:
            return 0.0
        return self.direction.alone_mm + _ROUNDED_MM - (self.sent_mm - self.done_mm)

    def reported(self, position: Sequence[float]) -> None:
        """Note where the machine is, millimetres; the first is where the jog began."""
        if len(position) < len(self.direction.unit):
            return
        if not self._begin:
            self._begin = tuple(position)
        moved = zip(position, self._begin, self.direction.unit, strict=False)
        self.done_mm = max(self.done_mm, sum((now - then) * part for now, then, part in moved))
