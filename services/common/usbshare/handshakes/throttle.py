"""How often something is told: at once, then as a number, ever more rarely while it goes on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

# More keys than these at once are a flood from everywhere: they share one place.
MOST_KEYS = 32
_REST: Hashable = object()


@dataclass(slots=True)
class _Told:
    at: float
    period_s: float
    left_out: int = 0
    last: str = ""


class Throttle:
    """Tells each key's first event at once, later ones as a number when a period is over.

    Each period is twice as long as the one before, up to the longest; after one without any event
    it begins anew.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._told: dict[Hashable, _Told] = {}

    def admits(self, key: Hashable, text: str, now: float) -> bool:
        """Tell whether to tell it now; otherwise it is counted, and its text kept."""
        if key not in self._told and len(self._told) >= MOST_KEYS:
            self._forget(now)
            key = key if len(self._told) < MOST_KEYS else _REST
        told = self._told.get(key)
        if told is None or self._is_over(told, now):
            self._told[key] = _Told(now, self._first_s)
            return True
        told.left_out += 1
        told.last = text
        return False

    def overdue(self, now: float, *, everything: bool = False) -> Iterator[tuple[int, str]]:
        """Give how many were left out and the last one's text, per key whose period is over."""
        for told in self._told.values():
            if told.left_out and (everything or now - told.at >= told.period_s):
                yield told.left_out, told.last
                told.at, told.left_out = now, 0
                told.period_s = min(self._longest_s, 2 * told.period_s)

    def due_in_s(self, now: float) -> float | None:
        """Return when something left out is to be told next, from now; None if nothing was."""
        waits = [told.at + told.period_s - now for told in self._told.values() if told.left_out]
        return max(0.0, min(waits)) if waits else None

    def _forget(self, now: float) -> None:
        for key in [key for key, told in self._told.items() if self._is_over(told, now)]:
            del self._told[key]

    @staticmethod
    def _is_over(told: _Told, now: float) -> bool:
        return not told.left_out and now - told.at >= told.period_s
