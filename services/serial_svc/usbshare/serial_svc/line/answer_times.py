"""How long firmware takes to answer a status query: from `?` written to `<` read."""

from __future__ import annotations

from usbshare.base.time_stats import TimeStats

LONGEST_ANSWER_S = 10.0
_QUERY = b"?"


class AnswerTimes:
    """Follows one device; times are of one monotonic clock.

    Firmware takes a second query that comes before it has answered the first as the same one, so
    the first counts. A report without a query is not counted.
    """

    def __init__(self, stats: TimeStats) -> None:
        self._stats = stats
        self._asked_at: float | None = None

    def wrote(self, data: bytes, now: float) -> None:
        """Note real-time bytes that the driver has taken."""
        if _QUERY not in data:
            return
        asked_at = self._asked_at
        if asked_at is None or now - asked_at > LONGEST_ANSWER_S:
            self._asked_at = now

    def reported(self, begun_at: float) -> None:
        """Note a report whose first byte arrived at that time."""
        asked_at = self._asked_at
        if asked_at is None or begun_at < asked_at:
            return
        self._asked_at = None
        if begun_at - asked_at <= LONGEST_ANSWER_S:
            self._stats.add(begun_at - asked_at, begun_at)

    def forget(self) -> None:
        """Stop waiting for answers: the device is gone, or was reset."""
        self._asked_at = None
