"""How far a sender may run ahead of a serial device, end to end.

HTTP/2's own window lets a program run minutes ahead of a slow line, so the service grants
credit in bytes that follows the line rate and the round trip instead.
"""

from __future__ import annotations

from typing import NamedTuple

LEAST_WINDOW_BYTES = 256
MARGIN_S = 0.020
LONGEST_ROUND_TRIP_S = 2.0


def window_bytes(bytes_per_s: float, round_trip_s: float, most_bytes: int) -> int:
    """Return the window that keeps the line busy: rate x (round trip + 20 ms), 256 at least."""
    round_trip_s = min(max(round_trip_s, 0.0), LONGEST_ROUND_TRIP_S)
    return min(most_bytes, max(LEAST_WINDOW_BYTES, int(bytes_per_s * (round_trip_s + MARGIN_S))))


class Credit(NamedTuple):
    """What a session may send; all three count from its start and never fall."""

    limit_offset: int
    limit_commands: int
    consumed_offset: int
