"""How much may be on its way to a device behind a network: little when it makes us wait.

The device answers each write when it has taken it, a round trip later. As long as answers come in
about the shortest round trip seen, the device takes bytes as they come, and more may be under way;
an answer that took longer waited for the device, and what is under way lies ahead of a stop.
"""

from __future__ import annotations

from math import inf

LEAST_BYTES = 64
MOST_BYTES = 1024  # as much as of a device of this computer: see serial-svc's DriverWindow
# Real-time bytes and the shortest lines are sent whatever is under way: they are nothing ahead.
SMALL_BYTES = 8
SLACK_S = 0.002
SLACK_SHARE = 0.25
FORGET_AFTER_S = 10.0


class SendWindow:
    """Allows at most `size_bytes` under way. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self.size_bytes: float = LEAST_BYTES
        self.under_way_bytes = 0
        self._shortest_s = self._shortest_before_s = inf
        self._measured_since = 0.0
        self._was_limited = False

    @property
    def round_trip_s(self) -> float:
        """The shortest round trip of the last ten seconds or more; infinite before the first."""
        return min(self._shortest_s, self._shortest_before_s)

    def room(self, wanted: int) -> int:
        """Return how many of the wanted bytes may be sent now.

        Less than a quarter of the window is not worth a transfer, unless it is all that is wanted.
        """
        if wanted <= SMALL_BYTES:
            return wanted
        free = int(self.size_bytes) - self.under_way_bytes
        if wanted <= free:
            return wanted
        self._was_limited = True
        return free if free >= self.size_bytes // 4 else 0

    def sent(self, size: int) -> None:
        """Note a write."""
        self.under_way_bytes += size

    def taken_back(self) -> None:
        """Note that nothing is under way any more."""
        self.under_way_bytes = 0
        self._was_limited = False

    def answered(self, size: int, took_s: float, now: float) -> None:
        """Note that the device took a write, and how long that was after it was sent."""
        self.under_way_bytes -= size
        self._measure(took_s, now)
        if took_s > self.round_trip_s * (1 + SLACK_SHARE) + SLACK_S:
            self.size_bytes = max(LEAST_BYTES, self.size_bytes - size / 4)
        elif self._was_limited:  # as fast, since on a radio link some answers are late by chance
            self.size_bytes = min(MOST_BYTES, self.size_bytes + size / 4)
        if not self.under_way_bytes:
            self._was_limited = False

    def _measure(self, took_s: float, now: float) -> None:
        if now - self._measured_since >= FORGET_AFTER_S:
            self._shortest_before_s, self._shortest_s = self._shortest_s, inf
            self._measured_since = now
        self._shortest_s = min(self._shortest_s, took_s)
