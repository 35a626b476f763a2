"""Lets a few of each key through at once and counts the rest; in bounded memory.

Of one thread at a time. `clock` is monotonic. For rates see `rate_limits`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST_KEYS = 4096
# More keys than these at once are a flood from everywhere: they share one place.
MOST_REPORTED_KEYS = 32
_REST: Hashable = object()


@dataclass(slots=True)
class Admitted:
    """When the last of a key were let through, how many since were not, and of these the last."""

    times: deque[float]
    period_s: float
    left_out: int = 0
    last: str = ""

    def is_full(self, now: float) -> bool:
        """Return whether as many as may be were let through within the period."""
        return len(self.times) == self.times.maxlen and now - self.times[0] < self.period_s


class Throttle(Generic[K]):
    """Lets `most` of each key through within any period; counts those that it leaves out.

    Of too many keys the one longest silent is forgotten.
    """

    def __init__(
        self,
        period_s: float,
        clock: Callable[[], float],
        *,
        most: int = 1,
        most_keys: int = MOST_KEYS,
    ) -> None:
        self._period_s = period_s
        self._clock = clock
        self._most = most
        self._most_keys = most_keys
        self._of: OrderedDict[Hashable, Admitted] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def admits(self, key: K, text: str = "") -> bool:
        """Return whether one more may come now; otherwise it is counted, and its text kept."""
        now = self._clock()
        place = self._place_of(key, now)
        known = self._of.get(place)
        if known is None:
            known = self._of[place] = Admitted(deque(maxlen=self._most), self._period_s)
        self._of.move_to_end(place)
        if not self._is_open(known, now):
            known.left_out += 1
            known.last = text
            return False
        known.times.append(now)
        known.period_s = self._period_s
        return True

    def is_full(self, key: K) -> bool:
        """Return whether one more would be left out now."""
        known = self._of.get(key)
        return known is not None and not self._is_open(known, self._clock())

    def take_left_out(self, key: K) -> int:
        """Return how many were left out since this was asked last."""
        if (known := self._of.get(key)) is None:
            return 0
        left_out, known.left_out = known.left_out, 0
        return left_out

    def _place_of(self, key: K, now: float) -> Hashable:
        """Return where a key is counted, and make room for it."""
        if key not in self._of and len(self._of) >= self._most_keys:
            self._of.popitem(last=False)
        return key

    def _is_open(self, known: Admitted, now: float) -> bool:
        return not known.is_full(now)


class ReportedThrottle(Throttle[K]):
    """Lets one of each key through; reports the others as a number when a period is over.

    Each period is twice as long as the one before, up to the longest; after one without any event
    it starts over. Of too many keys the last ones are counted as one.
    """

    def __init__(
        self,
        first_s: float,
        longest_s: float,
        clock: Callable[[], float],
        most_keys: int = MOST_REPORTED_KEYS,
    ) -> None:
        super().__init__(first_s, clock, most_keys=most_keys)
        self._longest_s = longest_s

    def overdue(self, *, everything: bool = False) -> Iterator[tuple[int, str]]:
        """Give how many were left out and the last one's text, per key whose period is over."""
        now = self._clock()
        for known in self._of.values():
            if known.left_out and (everything or not known.is_full(now)):
                yield known.left_out, known.last
                known.times.append(now)
                known.left_out = 0
                known.period_s = min(self._longest_s, 2 * known.period_s)

    def due_in_s(self) -> float | None:
        """Return when something left out is to be reported next; None if nothing was left out."""
        now = self._clock()
        waits = [
            known.times[0] + known.period_s - now for known in self._of.values() if known.left_out
        ]
        return max(0.0, min(waits)) if waits else None

    def _place_of(self, key: K, now: float) -> Hashable:
        if key in self._of or len(self._of) < self._most_keys:
            return key
        for each in [each for each, known in self._of.items() if self._is_open(known, now)]:
            del self._of[each]
        return key if len(self._of) < self._most_keys else _REST

    def _is_open(self, known: Admitted, now: float) -> bool:
        return not known.left_out and super()._is_open(known, now)
