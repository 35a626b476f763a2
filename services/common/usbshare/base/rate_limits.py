"""Rates: a burst at once, then so much per second, for each key; in bounded memory.

`now` and `clock` are monotonic. For what is reported at once and then counted see `throttle`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Shorter waits are skipped.
SHORTEST_WAIT_S = 0.001
# What rounding makes of an exact fit.
_ROUNDING_S = 1e-9
MOST_KEYS = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    """So much a second in the long run, and so much at once after a pause."""

    per_s: float
    burst: float

    @property
    def burst_s(self) -> float:
        """How long it takes until a burst may come again."""
        return self.burst / self.per_s


class Bucket:
    """Holds what a rate gives in `burst_s`; counts in seconds, since the rate may change."""

    __slots__ = ("_at", "_burst_s", "_spare_s")

    def __init__(self, burst_s: float, now: float) -> None:
        self._burst_s = self._spare_s = burst_s
        self._at = now

    def take(self, count: float, rate: float, now: float) -> float:
        """Take whatever there is, and more; return for how many seconds to wait for what lacks."""
        spare_s = self._spare_s + now - self._at - count / rate
        most_s = self._burst_s - count / rate
        self._at = now
        self._spare_s = spare_s = min(spare_s, most_s)
        return 0.0 if spare_s >= -SHORTEST_WAIT_S else -spare_s

    def take_if_left(self, count: float, rate: float, now: float) -> bool:
        """Return whether that much is left, and take it if so."""
        spare_s = min(self._burst_s, self._spare_s + now - self._at)
        wanted_s = count / rate
        is_left = spare_s >= wanted_s - _ROUNDING_S
        self._at = now
        self._spare_s = spare_s - wanted_s if is_left else spare_s
        return is_left

    def give_back(self, count: float, rate: float) -> None:
        """Put back what was taken just now."""
        self._spare_s += count / rate

    def forgive_beyond(self, debt_s: float) -> None:
        """Bound how long a caller that took far too much waits for the next."""
        self._spare_s = max(self._spare_s, -debt_s)


class Buckets(Generic[K]):
    """A bucket for each key; of too many the one longest unused, which is the fullest, goes."""

    def __init__(self, burst_s: float, most_keys: int = MOST_KEYS) -> None:
        self._burst_s = burst_s
        self._most_keys = most_keys
        self._of: OrderedDict[K, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def of(self, key: K, now: float) -> Bucket:
        """Return the bucket of a key; it is full at first."""
        if (bucket := self._of.get(key)) is None:
            if len(self._of) >= self._most_keys:
                self._of.popitem(last=False)
            bucket = self._of[key] = Bucket(self._burst_s, now)
        self._of.move_to_end(key)
        return bucket


class FairShare(Generic[K]):
    """A rate for each key and one for all, so that a loud one leaves something to the others."""

    def __init__(
        self, of_one: Rate, of_all: Rate, clock: Callable[[], float], most_keys: int = MOST_KEYS
    ) -> None:
        self._rate_of_one, self._rate_of_all = of_one, of_all
        self._clock = clock
        self._of = Buckets[K](of_one.burst_s, most_keys)
        self._all = Bucket(of_all.burst_s, clock())

    def __len__(self) -> int:
        return len(self._of)

    def admits(self, key: K, count: float = 1) -> bool:
        """Return whether that much of a key may come now, and count it if so."""
        now, rate = self._clock(), self._rate_of_one.per_s
        bucket = self._of.of(key, now)
        if not bucket.take_if_left(count, rate, now):
            return False
        if not self._all.take_if_left(count, self._rate_of_all.per_s, now):
            bucket.give_back(count, rate)
            return False
        return True
