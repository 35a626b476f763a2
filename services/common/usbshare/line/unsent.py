"""How far a driver's count of unsent bytes can be believed."""

from __future__ import annotations

from collections import deque

_MOST_WRITES = 64
# FTDI's oldest chip gets one byte more for each 63 (ftdi_sio.c, ftdi_prepare_write_buffer).
_OVERHEAD_BYTES = 8
_OVERHEAD_SHARE = 8


class Unsent:
    """Turns a driver's answer into bytes: never more than was handed over since it last said 0.

    Some drivers count whole buffers: after one byte cdc_acm says 1,280 or 10,240 (cdc-acm.c,
    acm_tty_chars_in_buffer). Each write takes one buffer there, and they leave in order, so n
    buffers are the last n writes.
    """

    def __init__(self) -> None:
        self._writes: deque[int] = deque(maxlen=_MOST_WRITES)
        self._handed_bytes = 0
        self._buffer_bytes = 0

    def wrote(self, size: int) -> None:
        """Note bytes that the driver took in one write."""
        if size:
            self._writes.append(size)
            self._handed_bytes += size

    def believed(self, answer: int) -> int:
        """Return how many bytes can be unsent where the driver gives this answer."""
        if answer <= 0 or not self._handed_bytes:
            self._writes.clear()
            self._handed_bytes = 0
            return 0
        if self._counts_buffers(answer):
            self._buffer_bytes = min(answer, self._buffer_bytes or answer)
        most = min(answer, self._handed_bytes)
        if not self._buffer_bytes:
            return most
        buffers = -(-answer // self._buffer_bytes)
        if buffers >= len(self._writes):
            return most
        return min(most, sum(list(self._writes)[-buffers:]))

    def _counts_buffers(self, answer: int) -> bool:
        if self._buffer_bytes:
            return True
        own_bytes = self._handed_bytes + self._handed_bytes // _OVERHEAD_SHARE + _OVERHEAD_BYTES
        return answer > own_bytes
