"""How often a line is read while a stream comes: now and then, not at each of its pieces."""

from __future__ import annotations

REST_S = 0.003
WINDOW_S = 0.025
LEAST_BYTES = 512
# What arrives between two reads must fit into a driver's buffer, which has 4 KiB.
MOST_BYTES = 16384
# So much at once has piled up: the computer is busy, and there may be more.
PILED_UP_BYTES = 1024


class ReadPace:
    """Knows whether a stream comes: 20 kB a second or more, of which no piece ends a line.

    What ends a line, or comes alone, is never left lying.
    """

    def __init__(self) -> None:
        self._since = float("-inf")
        self._bytes = 0
        self._rest_s = 0.0

    def rest_s(self, data: bytes, now: float) -> float:
        """Note bytes that were read; return for how long no more need be read."""
        if data.endswith(b"\n"):
            self._since, self._bytes, self._rest_s = now, 0, 0.0
            return 0.0
        self._bytes += len(data)
        if now - self._since >= WINDOW_S:
            is_stream = LEAST_BYTES <= self._bytes * WINDOW_S / (now - self._since) <= MOST_BYTES
            self._since, self._bytes = now, 0
            self._rest_s = REST_S if is_stream else 0.0
        return self._rest_s if len(data) < PILED_UP_BYTES else 0.0
