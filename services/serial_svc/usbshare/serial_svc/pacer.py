"""How much may lie ahead of the device outside our hands: a few milliseconds of line time.

Both what the driver says has not left (TIOCOUTQ) and what cannot have left by line time count;
the larger one holds, so a driver that cannot tell is paced by the clock, and a line that stalls
is noticed although the clock runs on.
"""

from __future__ import annotations

LEAD_S = 0.003
LEAST_LEAD_BYTES = 32
LARGEST_UNSENT_BYTES = 1 << 20
_SHORTEST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.020


class Pacer:
    """Allows bytes at the rate of the line, never more than a lead ahead of it."""

    def __init__(self, bytes_per_s: float) -> None:
        self._clear_at = 0.0
        self._stalls = 0
        self._last_unsent = 0
        self.set_rate(bytes_per_s)

    def set_rate(self, bytes_per_s: float) -> None:
        """Follow a change of the line's settings."""
        self._rate = bytes_per_s
        self.lead_bytes = max(LEAST_LEAD_BYTES, int(bytes_per_s * LEAD_S))

    @property
    def clear_at(self) -> float:
        """When all that was written has left by line time."""
        return self._clear_at

    def reset(self) -> None:
        """Forget what was written: it has been thrown away."""
        self._clear_at = 0.0
        self._stalls = self._last_unsent = 0

    def allowance(self, now: float, unsent: int, wanted: int) -> int:
        """Return how many of the wanted bytes may be written now; 0: ask again after `wait_s`.

        Less than half a lead is not worth a write, unless it is all that is wanted: a writer that
        writes each byte as line time frees it would do nothing else.
        """
        if self._clear_at > now:
            unsent = self._ahead(now, unsent)
        free = self.lead_bytes - unsent
        if wanted <= free:
            return wanted
        return free if free >= min(wanted, self.lead_bytes // 2) else 0

    def written(self, size: int, now: float) -> None:
        """Note bytes handed to the driver."""
        self._clear_at = max(self._clear_at, now) + size / self._rate

    def wait_s(self, now: float, unsent: int) -> float:
        """Return how long until half of the lead is free; longer each time a line stands still."""
        self._stalls = self._stalls + 1 if unsent and unsent == self._last_unsent else 0
        self._last_unsent = unsent
        unsent = min(unsent, LARGEST_UNSENT_BYTES)
        due = (self._ahead(now, unsent) - self.lead_bytes // 2) / self._rate
        stalled = min(_LONGEST_WAIT_S, _SHORTEST_WAIT_S * 2 ** min(self._stalls, 8))
        return max(due, stalled if self._stalls else _SHORTEST_WAIT_S)

    def _ahead(self, now: float, unsent: int) -> int:
        if self._clear_at <= now:
            return unsent
        return max(unsent, int((self._clear_at - now) * self._rate + 0.999))
