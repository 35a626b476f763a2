"""The machine under the simulated Marlin: axes, beam and the parser's positions."""

from __future__ import annotations

from usbshare.sim.laser import Laser
from usbshare.sim.motion import Motion
from usbshare.sim.planner import Block, Move, Planner, Vector
from usbshare.sim.record import Record, Segment
from usbshare.sim.settings import Settings

_ORIGIN: Vector = (0.0, 0.0, 0.0)
_FEED_MM_S = 25.0


class MarlinMachine:
    """Moves and burns; positions are millimetres, `target` is where the last move ends."""

    def __init__(self, record: Record) -> None:
        settings = Settings()
        self._record = record
        self.planner = Planner(settings)
        self.motion = Motion(self.planner)
        self.laser = Laser(settings, record)
        self.clear()

    def clear(self) -> None:
        """Start over at the origin, as after a reset."""
        self.relative = False
        self.feed_mm_s = _FEED_MM_S
        self.target = self.origin = _ORIGIN
        self.planner.reset(_ORIGIN)
        self.motion.reset(_ORIGIN)

    def aim(self, words: dict[str, float]) -> Vector:
        """Return the target of a move's axis words."""
        if words.get("F"):
            self.feed_mm_s = words["F"] / 60
        x, y, z = (self._axis(words, axis) for axis in range(3))
        return (x, y, z)

    def move(self, target: Vector, now_s: float) -> None:
        """Queue a move, for which there must be room."""
        self.target = target
        self.motion.sync(now_s)
        queued = self.planner.append(Move(target, self.feed_mm_s, self._record.beam_power))
        if self.motion.next_s is not None:
            self.motion.follow_plan(now_s)
        elif queued:
            self.motion.start(now_s)

    def finish_motion(self, now_s: float) -> None:
        """Act on the end of a block."""
        block = self.motion.finish(now_s)
        if block is not None:
            self._engrave(block, block.move.target, now_s)

    def quick_stop(self, now_s: float) -> None:
        """Stop at once and drop the queue; the beam stays as it is."""
        block = self.motion.block
        position = self.motion.position(now_s)
        if block is not None:
            self._engrave(block, position, now_s)
        self.motion.reset(position)
        self.planner.reset(position)
        self.target = position

    def name_position(self, words: dict[str, float]) -> None:
        """Give the current position new coordinates, as G92 does."""
        pairs = zip("XYZ", self.target, self.origin, strict=True)
        x, y, z = (target - words.get(letter, target - origin) for letter, target, origin in pairs)
        self.origin = (x, y, z)

    def position_report(self) -> str:
        """Return the answer to M114."""
        x, y, z = (t - o for t, o in zip(self.target, self.origin, strict=True))
        return f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:0.00 Count X:0 Y:0 Z:0"

    def _axis(self, words: dict[str, float], axis: int) -> float:
        word = words.get("XYZ"[axis])
        if word is None:
            return self.target[axis]
        return word + (self.target[axis] if self.relative else self.origin[axis])

    def _engrave(self, block: Block, end: Vector, now_s: float) -> None:
        if block.move.power and end != block.start:
            (x0, y0, _), (x1, y1, _) = block.start, end
            self._record.cut(Segment(x0, y0, x1, y1, block.move.power), now_s)
