"""When lines arrive at a firmware that is fed by character counting over a serial line."""

from __future__ import annotations

from collections import deque

from usbshare.sim.receive import RX_BUFFER_BYTES


class Supply:
    """Computes when each line has arrived; call `answer` before asking for the next one.

    No more bytes are in transit than the firmware's buffer holds: a line leaves when the answers to
    earlier lines have made room.
    """

    def __init__(self, bytes_per_s: float, window_bytes: int = RX_BUFFER_BYTES) -> None:
        self._bytes_per_s = bytes_per_s
        self._window_bytes = window_bytes
        self._line_free_s = 0.0
        self._room_s = 0.0
        self._kept_bytes = 0
        self._answers: deque[tuple[int, float]] = deque()
        self._size_bytes = 0

    def arrive(self, size_bytes: int) -> float:
        """Return when the last byte of the next line has arrived."""
        while self._answers and self._kept_bytes + size_bytes > self._window_bytes:
            freed_bytes, self._room_s = self._answers.popleft()
            self._kept_bytes -= freed_bytes
        self._size_bytes = size_bytes
        start_s = max(self._line_free_s, self._room_s)
        self._line_free_s = start_s + size_bytes / self._bytes_per_s
        return self._line_free_s

    def answer(self, now_s: float) -> None:
        """Note when the firmware answered the line that arrived last."""
        self._answers.append((self._size_bytes, now_s))
        self._kept_bytes += self._size_bytes
