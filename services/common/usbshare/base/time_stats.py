"""How long something takes: a distribution that costs the same however many times are counted.

Times fall into buckets, eight for each doubling from 1 µs on, so that a quantile is at most an
eighth too long and never too short.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

RECENT_S = 60.0
_PER_OCTAVE = 8
_OCTAVES = 32  # up to 71 minutes
_BUCKETS = 1 + _PER_OCTAVE * _OCTAVES


@dataclass(frozen=True, slots=True)
class TimeSummary:
    """A distribution of times in seconds. The quantiles are recent, the rest counts from the start.

    All are 0 where `count` is 0; quantiles also where nothing recent was counted.
    """

    count: int = 0
    min_s: float = 0.0
    mean_s: float = 0.0
    max_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    recent_count: int = 0
    last_s: float = 0.0


class TimeStats:
    """Times in seconds, counted by one thread, read by any; `now` is of one monotonic clock.

    Quantiles are of the last one to two minutes.
    """

    __slots__ = ("_before", "_buckets", "_due", "count", "last_s", "max_s", "min_s", "total_s")

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self.min_s = 0.0
        self.max_s = 0.0
        self.last_s = 0.0
        self._buckets = [0] * _BUCKETS
        self._before = [0] * _BUCKETS
        self._due = float("-inf")

    def add(self, seconds: float, now: float) -> None:
        """Count one duration, in seconds."""
        if now >= self._due:
            self._turn(now)
        if self.count == 0 or seconds < self.min_s:
            self.min_s = seconds
        self.max_s = max(self.max_s, seconds)
        self.count += 1
        self.total_s += seconds
        self.last_s = seconds
        micros = seconds * 1e6
        if micros < 1:
            self._buckets[0] += 1
            return
        mantissa, exponent = frexp(micros)
        index = _PER_OCTAVE * (exponent - 1) + int((mantissa - 0.5) * 2 * _PER_OCTAVE) + 1
        self._buckets[index if index < _BUCKETS else _BUCKETS - 1] += 1

    def add_none(self, now: float) -> None:
        """Count a time of 0."""
        if now >= self._due:
            self._turn(now)
        self.count += 1
        self.min_s = self.last_s = 0.0
        self._buckets[0] += 1

    @property
    def mean_s(self) -> float:
        """The mean; 0 while nothing was counted."""
        return self.total_s / self.count if self.count else 0.0

    def summary(self, now: float) -> TimeSummary:
        """Return the distribution."""
        recent = self._recent(now)
        count = sum(recent)
        p50, p95, p99 = (self._quantile(recent, count, part) for part in (0.5, 0.95, 0.99))
        return TimeSummary(
            count=self.count,
            min_s=self.min_s,
            mean_s=self.mean_s,
            max_s=self.max_s,
            p50_s=p50,
            p95_s=p95,
            p99_s=p99,
            recent_count=count,
            last_s=self.last_s,
        )

    def _recent(self, now: float) -> list[int]:
        buckets, before = self._buckets, self._before
        if now < self._due:
            return [each + older for each, older in zip(buckets, before, strict=True)]
        is_stale = now >= self._due + RECENT_S
        return [0] * _BUCKETS if is_stale else list(buckets)

    def _quantile(self, buckets: list[int], count: int, part: float) -> float:
        wanted, seen = part * count, 0
        for index, each in enumerate(buckets):
            seen += each
            if each and seen >= wanted:
                return min(_upper_s(index), self.max_s)
        return 0.0

    def _turn(self, now: float) -> None:
        """Forget what is older than a minute; all of it, if nothing was counted for as long."""
        is_stale = now >= self._due + RECENT_S
        self._before = [0] * _BUCKETS if is_stale else self._buckets
        self._buckets = [0] * _BUCKETS
        self._due = now + RECENT_S


def _upper_s(index: int) -> float:
    if index == 0:
        return 0.0
    octave, step = divmod(index - 1, _PER_OCTAVE)
    return float(2**octave) * (1 + (step + 1) / _PER_OCTAVE) * 1e-6
