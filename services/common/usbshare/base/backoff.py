"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 2.0


class Backoff:
    """Doubles the wait up to the longest; a random half is left out, so that clients spread.

    `random` returns a number from 0 to 1.
    """

    def __init__(
        self,
        random: Callable[[], float],
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._longest_s = longest_s
        self._attempts = 0

    def reset(self) -> None:
        """Start over after a success."""
        self._attempts = 0

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        longest = min(self._longest_s, self._first_s * float(1 << min(self._attempts, 16)))
        self._attempts += 1
        return longest * (0.5 + self._random() / 2)
