"""How much may wait in the driver of a device that takes bytes at its own rate.

Such a device makes the host wait (NAK) instead of having a line rate. The window follows the rule
of Linux' network drivers (dynamic_queue_limits.c): it grows when the driver ran dry while more
was waiting, and shrinks by what never got used.
"""

from __future__ import annotations

from collections import deque

MOST_LEAD_BYTES = 1024
# cdc_acm has 16 buffers and each write takes one: the rest are for real-time bytes.
MOST_WRITES = 8
SHRINK_AFTER_S = 0.100
RATE_WINDOW_S = 0.250


class DriverWindow:
    """Allows at most `lead_bytes` in the driver; each write takes half of them at most.

    With two writes under way the device has the next one while we learn that it took the last.
    """

    def __init__(self, least_bytes: int) -> None:
        self.lead_bytes = least_bytes
        self.bytes_per_s = 0.0
        self._least_bytes = least_bytes
        self._writes: deque[int] = deque()
        self._was_limited = False
        self._slack_bytes = MOST_LEAD_BYTES
        self._looked_at = self._shrunk_at = 0.0
        self._counted_since = 0.0
        self._counted_bytes = 0

    def reset(self) -> None:
        """Begin with the smallest window again."""
        self.lead_bytes = self._least_bytes
        self._was_limited = False
        self._slack_bytes = MOST_LEAD_BYTES

    def allowance(self, now: float, unsent: int, wanted: int) -> int:
        """Return how many of the wanted bytes may be written now."""
        self._look(now, unsent)
        free = self.lead_bytes - unsent
        if len(self._writes) >= MOST_WRITES:
            return 0
        if wanted <= free:
            return wanted
        self._was_limited = True
        half = self.lead_bytes // 2
        return half if free >= half else 0

    def written(self, size: int, now: float) -> None:
        """Note a write."""
        self._writes.append(size)
        self._counted_bytes += size
        passed_s = now - self._counted_since
        if passed_s >= RATE_WINDOW_S:
            self.bytes_per_s = self._counted_bytes / passed_s
            self._counted_since, self._counted_bytes = now, 0

    def _look(self, now: float, unsent: int) -> None:
        if now - self._looked_at > SHRINK_AFTER_S:  # nothing was waiting meanwhile
            self.reset()
            self._shrunk_at = now
        self._looked_at = now
        waiting = sum(self._writes)
        while self._writes and waiting - self._writes[0] >= unsent:
            waiting -= self._writes.popleft()
        if not unsent and self._was_limited:
            self.lead_bytes = min(MOST_LEAD_BYTES, 2 * self.lead_bytes)
            self._was_limited = False
            self._slack_bytes, self._shrunk_at = MOST_LEAD_BYTES, now
            return
        self._slack_bytes = min(self._slack_bytes, unsent)
        if now - self._shrunk_at >= SHRINK_AFTER_S:
            self.lead_bytes = max(self._least_bytes, self.lead_bytes - self._slack_bytes)
            self._slack_bytes, self._shrunk_at = MOST_LEAD_BYTES, now
