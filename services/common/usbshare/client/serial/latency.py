"""Round trips of the last 100 heartbeats, in seconds."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

KEPT = 100
TYPICAL_OF = 5


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Now, least, mean and most over the beats kept; milliseconds."""

    now_ms: float
    min_ms: float
    mean_ms: float
    max_ms: float

    def __str__(self) -> str:
        values = (self.now_ms, self.min_ms, self.mean_ms, self.max_ms)
        return "/".join(f"{value:.1f}" for value in values)


class Latency:
    """Keeps the round trips of the last 100 heartbeats."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=KEPT)
        self._unqueued: deque[float] = deque(maxlen=TYPICAL_OF)
        self._first_s: float | None = None

    @property
    def typical_s(self) -> float:
        """The lower median of five, so that one late beat counts little; 0 before any.

        Of beats that did not wait behind our own bytes, if there were any: on a slow link the
        window would follow the queue that it makes.
        """
        last = sorted(self._unqueued or itertools.islice(reversed(self._seconds), TYPICAL_OF))
        return last[(len(last) - 1) // 2] if last else 0.0

    def add(self, seconds: float, *, was_queued: bool = False, is_first: bool = False) -> None:
        """Note one round trip, and whether it waited behind our own bytes.

        `is_first` of its session: it waited for the connection to be set up, which says nothing of
        the link, so that the summary leaves it out once there is another.
        """
        if is_first:
            self._first_s = seconds
        else:
            self._seconds.append(seconds)
        if not was_queued or seconds < min(self._unqueued, default=0.0):
            self._unqueued.append(seconds)

    def summary(self) -> LatencySummary | None:
        """Return the summary, None before the first beat."""
        beats = self._seconds or [each for each in (self._first_s,) if each is not None]
        if not beats:
            return None
        values = (beats[-1], min(beats), sum(beats) / len(beats), max(beats))
        return LatencySummary(*(round(value * 1e3, 3) for value in values))
