"""How much may wait in the driver of a device that takes bytes at its own rate.

Such a device has no line rate; it makes the host wait (NAK). The window follows the rule of Linux'
network drivers (dynamic_queue_limits.c): it grows when the driver ran dry while more was waiting,
and shrinks by the part that was never used. It never holds more than the device takes during the
lead plus twice the delay of this computer, since a stop waits for all of it.
"""

from __future__ import annotations

from collections import deque
from math import inf

MOST_LEAD_BYTES = 1024
# cdc_acm has 16 buffers and each write takes one: the rest are for real-time bytes.
MOST_WRITES = 8
SHRINK_AFTER_S = 0.100
RATE_WINDOW_S = 0.250


class DriverWindow:
    """Allows at most `lead_bytes` in the driver; each write takes half of them at most.

    With two writes in progress the device has the next one while we learn that it took the last.
    A write of `least_bytes`, which the device takes in `lead_s` at its slowest, is never cut.
    """

    def __init__(self, least_bytes: int, lead_s: float) -> None:
        self.lead_bytes = least_bytes
        self.bytes_per_s = 0.0
        self._least_bytes = least_bytes
        self._lead_s = lead_s
        self._writes: deque[int] = deque()
        self._was_limited = False
        self._slack_bytes = MOST_LEAD_BYTES
        self._due_at: float | None = None
        self._late_s = self._late_before_s = 0.0
        self._looked_at = self._shrunk_at = 0.0
        self._busy_since = 0.0
        self._busy_bytes = 0
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
        if len(self._writes) >= MOST_WRITES:
            return 0
        size = min(wanted, max(self.lead_bytes // 2, self._least_bytes))
        fits = size <= self.lead_bytes - unsent
        self._was_limited = self._was_limited or size < wanted or not fits
        return size if fits else 0

    def waits(self, due_at: float) -> None:
        """Note that bytes wait, and when we look again, or later if the computer is busy."""
        self._due_at = due_at

    def written(self, size: int, now: float) -> None:
        """Note a write."""
        if not self._writes:
            self._busy_since, self._busy_bytes = now, 0
        self._writes.append(size)
        self._busy_bytes += size
        self._counted_bytes += size
        passed_s = now - self._counted_since
        if passed_s >= RATE_WINDOW_S:
            self.bytes_per_s = self._counted_bytes / passed_s
            self._counted_since, self._counted_bytes = now, 0

    def _look(self, now: float, unsent: int) -> None:
        if self._due_at is not None or self._was_limited:  # else that would be now
            due_at = self._looked_at if self._due_at is None else self._due_at
            self._late_s, self._due_at = max(self._late_s, now - due_at), None
        elif now - self._looked_at > SHRINK_AFTER_S:  # nothing was waiting in the meantime
            self.reset()
            self._shrunk_at = now
        self._looked_at = now
        waiting = sum(self._writes)
        while self._writes and waiting - self._writes[0] >= unsent:
            waiting -= self._writes.popleft()
        if not unsent and self._was_limited:
            self._grow(now)
            return
        # Of a buffer that counts as a whole only a byte may be left.
        certain = unsent - self._writes[0] if self._writes else unsent
        self._slack_bytes = min(self._slack_bytes, max(0, certain))
        if now - self._shrunk_at >= SHRINK_AFTER_S:
            self._shrink(now, unsent)

    def _grow(self, now: float) -> None:
        passed_s = now - self._busy_since
        rate = self._busy_bytes / passed_s if passed_s > 0 else inf
        wider = min(2 * self.lead_bytes, self._most_bytes(rate))
        self.lead_bytes = max(self.lead_bytes, wider)
        self._was_limited = False
        self._slack_bytes, self._shrunk_at = MOST_LEAD_BYTES, now

    def _shrink(self, now: float, unsent: int) -> None:
        narrower = self.lead_bytes - self._slack_bytes
        passed_s = now - self._busy_since
        if self._writes and passed_s >= SHRINK_AFTER_S:
            taken = self._busy_bytes - unsent + self._writes[0]
            narrower = min(narrower, self._most_bytes(taken / passed_s))
            self._busy_since, self._busy_bytes = now, unsent
        self.lead_bytes = max(self._least_bytes, narrower)
        self._late_before_s, self._late_s = self._late_s, 0.0
        self._slack_bytes, self._shrunk_at = MOST_LEAD_BYTES, now

    def _most_bytes(self, bytes_per_s: float) -> int:
        """Return how much a device of that rate may have before a stop."""
        late_s = max(self._late_s, self._late_before_s)
        return int(min(MOST_LEAD_BYTES, bytes_per_s * (self._lead_s + 2 * late_s)))
