"""When to send what has piled up: a lone line at once, a stream in larger pieces.

Nagle's rule (RFC 896) with the acknowledgement of our own streams: while nothing sent is
unacknowledged, send at once; while something is, gather for at most GATHER_S since the last
message. A chunk that ends a line goes at once too, so that a lone `ok` is never held back.

What has gone on for STREAM_S without a pause is a stream, of which more may be gathered.
"""

from __future__ import annotations

GATHER_S = 0.003
STREAM_S = 0.050
PAUSE_S = 0.010
LARGEST_CHUNK_BYTES = 4096


class Gatherer:
    """Decides for one direction of one stream; `stream_gather_s`: how long in a stream."""

    def __init__(self, stream_gather_s: float = GATHER_S) -> None:
        self._stream_gather_s = stream_gather_s
        self._acknowledged_offset = 0
        self._sent_offset = 0
        self._sent_at = self._since = float("-inf")
        self._hold_s = GATHER_S

    def sent(self, end_offset: int, now: float) -> None:
        """Note that everything before `end_offset` has been sent."""
        if now - self._sent_at > PAUSE_S:
            self._since = now
        self._hold_s = self._stream_gather_s if now - self._since >= STREAM_S else GATHER_S
        self._sent_offset = end_offset
        self._sent_at = now

    def acknowledged(self, offset: int) -> None:
        """Note that the other side has everything before `offset`."""
        self._acknowledged_offset = offset

    def is_due(self, pending: bytes) -> bool:
        """Return whether bytes go at once, without a look at the clock."""
        return self._acknowledged_offset >= self._sent_offset or pending.endswith(b"\n")

    def wait_s(self, pending: bytes | bytearray, now: float) -> float:
        """Return how long to hold back what is pending; 0 means send now."""
        if self._acknowledged_offset >= self._sent_offset or pending.endswith(b"\n"):
            return 0.0
        if len(pending) >= LARGEST_CHUNK_BYTES:
            return 0.0
        return max(0.0, self._sent_at + self._hold_s - now)
