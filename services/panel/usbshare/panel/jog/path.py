"""The pieces of a jog: as short as the time for which a machine may move alone. Pure.

Two pieces are with the machine at most, so that it does not brake between them: the next is sent
once its reports say that it is in the last. Whatever dies, it then moves no further than these two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot, isfinite

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.machines.gcode import relative_jog

# Both together are the 100 ms for which a machine may move with nobody to stop it.
PIECE_S = 0.05
LEAST_PIECE_MM = 0.005
# What a machine that does not say how fast it goes can be expected to reach, millimetres a minute.
UNKNOWN_FEED = 1000.0
# What positions are rounded to.
_ROUNDED_MM = 0.01


@dataclass(frozen=True, slots=True)
class Direction:
    """Where to, as parts of the feed along it; `feed` in millimetres a minute."""

    x: float
    y: float
    z: float
    feed: float

    def __post_init__(self) -> None:
        """Refuse what leads nowhere; raises InvalidArgumentError."""
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
    def piece_mm(self) -> float:
        """The length of a piece in millimetres."""
        return max(LEAST_PIECE_MM, self.feed / 60 * PIECE_S)


@dataclass(slots=True)
class Path:
    """One jog in one direction: what was sent of it, and how far the machine has come."""

    direction: Direction
    sent_mm: float = 0.0
    done_mm: float = 0.0
    _begin: tuple[float, ...] = field(default=())

    @property
    def may_send(self) -> bool:
        """Whether the machine reports that it is in the last piece that it has."""
        piece = self.direction.piece_mm
        if not self.sent_mm:
            return True
        return bool(self._begin) and self.sent_mm - self.done_mm <= piece + _ROUNDED_MM

    def next_piece(self) -> str:
        """Return the next piece as a line."""
        piece = self.direction.piece_mm
        self.sent_mm += piece
        x, y, z = (part * piece for part in self.direction.unit)
        return relative_jog(x, y, z, self.direction.feed)

    def reported(self, position: Sequence[float]) -> None:
        """Note where the machine is, millimetres; the first is where the jog began."""
        if len(position) < len(self.direction.unit):
            return
        if not self._begin:
            self._begin = tuple(position)
        moved = zip(position, self._begin, self.direction.unit, strict=False)
        self.done_mm = max(self.done_mm, sum((now - then) * part for now, then, part in moved))
