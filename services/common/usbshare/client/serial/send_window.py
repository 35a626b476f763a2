"""How many of a program's bytes may be on their way, so that a stop behind them does not wait.

The service's credit is as large as the serial line needs. Where the network is slower than that
line, what is sent waits in the network's own queue, and everything after it: heartbeats, stops.
"""

from __future__ import annotations

from usbshare.line.credit import Credit

QUEUE_S = 0.25  # so long may what is sent now wait behind what was sent
LEAST_BYTES = 512  # takes 64 ms at 64 kbit/s; a beat behind no more than that counts as unqueued
FIRST_BYTES = 4096
MOST_BYTES = 1 << 20  # more than the service ever gives credit for
_FIRST_GROWTH, _GROWTH = 2.0, 1.25


class SendWindow:
    """Learns from heartbeats how fast the network is; `limit_bytes` may be on their way.

    It begins small, as TCP does (RFC 5681), and doubles in each round trip until something queues.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a session, over a network that may be another."""
        self.limit_bytes = FIRST_BYTES
        self._growth = _FIRST_GROWTH
        self._queued_before_s = 0.0
        self._is_asking = False

    def room_bytes(self, credit: Credit, sent_offset: int) -> int:
        """Return how many bytes the service and the network have room for."""
        limit_offset, _, consumed_offset = credit
        window_offset = consumed_offset + self.limit_bytes
        return (limit_offset if limit_offset < window_offset else window_offset) - sent_offset

    def asks(self, credit: Credit, sent_offset: int) -> bool:
        """Return, once until an answer, whether only the network has no room.

        With an answer the service reports what is consumed, else when a quarter of its window is.
        """
        is_full = self.room_bytes(credit, sent_offset) <= 0 < credit.limit_offset - sent_offset
        was_asking, self._is_asking = self._is_asking, self._is_asking or is_full
        return is_full and not was_asking

    def answered(self, round_trip_s: float, usual_s: float, bytes_ahead: int) -> None:
        """Note an answer to a heartbeat that was sent behind so many of our own bytes.

        One that is late alone says nothing: two in a row do.
        """
        self._is_asking = False
        queued_s = round_trip_s - usual_s
        lasting_s, self._queued_before_s = min(queued_s, self._queued_before_s), queued_s
        if usual_s > 0.0 and lasting_s > QUEUE_S and bytes_ahead > LEAST_BYTES:
            self.limit_bytes = max(LEAST_BYTES, int(bytes_ahead * QUEUE_S / lasting_s))
            self._growth = _GROWTH
        elif queued_s <= QUEUE_S and bytes_ahead * 2 >= self.limit_bytes:
            self.limit_bytes = min(MOST_BYTES, int(self.limit_bytes * self._growth))
