"""How much of the picture one viewer's link carries: fewer frames, then smaller, then coarser."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# A frame's way to the viewer may take this long: five frames a second, then frames get smaller.
TARGET_S = 0.2
# Longer than this a frame is not even sent.
LIMIT_S = 0.35
_ROOMY = 0.4  # part of the target under which more may be tried
_AIM = 0.7  # part of the target that a step down aims at
_FIRST_PATIENCE_S = 3.0
_LONGEST_PATIENCE_S = 60.0
_REMEMBERED = 8
_SMALLEST_TIME_S = 0.001


@dataclass(frozen=True, slots=True)
class Level:
    """What is left of width and quality, each 0 to 1."""

    width: float
    quality: float

    @property
    def bytes_part(self) -> float:
        """About which part of the bytes a frame has: as its area, and somewhat as its quality."""
        return float(self.width**1.7) * (0.25 + 0.75 * self.quality)


LEVELS = (
    Level(1.0, 1.0),
    Level(0.75, 1.0),
    Level(0.5, 1.0),
    Level(0.375, 1.0),
    Level(0.25, 1.0),
    Level(0.25, 0.7),
    Level(0.25, 0.45),
    Level(0.25, 0.25),
)


class Adaptation:
    """Chooses a viewer's level from how long its frames take to arrive.

    It goes down at once, and up again one by one, more slowly after a step up that was too much.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._index = 0
        self._deliveries: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._roomy_since: float | None = None
        self._patience_s = _FIRST_PATIENCE_S
        self._raised_at: float | None = None

    @property
    def level(self) -> Level:
        """What the next frame should be."""
        return LEVELS[self._index]

    @property
    def is_roomy(self) -> bool:
        """Whether whole frames arrive so soon that one more on the way makes none of them old."""
        return self._index == 0 and self._roomy_since is not None

    def delivered(self, size_bytes: int, took_s: float) -> None:
        """Note how long one frame took, without the round trip that an empty one takes too."""
        self._deliveries.append((size_bytes, max(took_s, _SMALLEST_TIME_S)))
        if took_s > TARGET_S:
            self._step_down(size_bytes)
        elif took_s < TARGET_S * _ROOMY:
            self._perhaps_step_up()
        else:
            self._roomy_since = None

    def is_too_big(self, size_bytes: int) -> bool:
        """Return whether a frame would take so long that a smaller one must go; steps down then."""
        rate = self._bytes_per_s()
        if rate is None or size_bytes / rate <= LIMIT_S or self._index == len(LEVELS) - 1:
            return False
        self._step_down(size_bytes)
        return True

    def forget_rate(self) -> None:
        """Forget the measured rate: what comes next is of another kind."""
        self._deliveries.clear()

    def _bytes_per_s(self) -> float | None:
        """Return what the link has carried at its best of late, None before the first frame."""
        return max((size / took for size, took in self._deliveries), default=None)

    def _step_down(self, size_bytes: int) -> None:
        now = self._clock()
        if self._raised_at is not None and now - self._raised_at < 2 * self._patience_s:
            self._patience_s = min(_LONGEST_PATIENCE_S, self._patience_s * 2)
        self._roomy_since = self._raised_at = None
        affordable = (self._bytes_per_s() or 0.0) * TARGET_S * _AIM
        whole = size_bytes / self.level.bytes_part
        self._index = min(self._index + 1, len(LEVELS) - 1)
        while self._index < len(LEVELS) - 1 and whole * self.level.bytes_part > affordable:
            self._index += 1

    def _perhaps_step_up(self) -> None:
        now = self._clock()
        if self._roomy_since is None:
            self._roomy_since = now
        if self._raised_at is not None and now - self._raised_at > 4 * self._patience_s:
            self._patience_s, self._raised_at = _FIRST_PATIENCE_S, None
        if self._index and now - self._roomy_since >= self._patience_s:
            self._index -= 1
            self._roomy_since, self._raised_at = now, now
            self._deliveries.clear()
