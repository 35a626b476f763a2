"""The age of a picture: by the host's clock, which our monotonic clock measures."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 12
_SLACK_S = 0.005  # the clocks drift apart between two looks


@dataclass(frozen=True, slots=True)
class _Look:
    """The host's clock minus ours, right to `error_s` either way."""

    offset_s: float
    error_s: float


class HostClock:
    """Knows the host's clock by its answers, of which the quickest one is trusted most.

    An answer was written while we waited for it, so that half of the wait bounds the error.
    """

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=KEPT)

    def answered(self, host_time_s: float, round_trip_s: float, now: float) -> None:
        """Take an answer that came now; one that contradicts the others shows a clock being set."""
        look = _Look(host_time_s - (now - round_trip_s / 2), round_trip_s / 2)
        best = self._best
        if best is not None and not _agree(look, best):
            self._looks.clear()
        self._looks.append(look)

    def forget(self) -> None:
        """Start over: another host may answer, or by another way."""
        self._looks.clear()

    @property
    def half_round_trip_s(self) -> float:
        """What an empty message takes one way; 0 before the first answer."""
        best = self._best
        return best.error_s if best else 0.0

    def age_s(self, captured_s: float, send_s: float, now: float) -> float:
        """Return how old a frame is that arrives now, `send_s` after its capture sent by the host.

        Never younger than that and an empty message's way; more where the clocks tell more.
        """
        best = self._best
        if best is None:
            return send_s
        by_clock_s = now + best.offset_s - captured_s
        return max(send_s + best.error_s, by_clock_s)

    @property
    def _best(self) -> _Look | None:
        return min(self._looks, key=lambda look: look.error_s, default=None)


def _agree(one: _Look, other: _Look) -> bool:
    return abs(one.offset_s - other.offset_s) <= one.error_s + other.error_s + _SLACK_S
