"""Whether a client hears its service: its heartbeats carry the last answer that it heard.

A link that has lost one direction only still brings signs of life; they say how old the last
answer is that came through.
"""

from __future__ import annotations

from collections import deque

MOST_ANSWERS = 256
LONGEST_ROUND_TRIP_S = 2.0
# Less than the interval, so that a loss is noticed within 250 ms of the time allowed for it.
GRACE_S = 0.1


class Hearing:
    """Follows one session; ids of heartbeats rise, times are monotonic seconds.

    `last_heard` is when the client was heard last. `last_at` is when the latest answer was given
    that is known to be heard, the round trip that news of it takes not counted; None for a client
    that does not report it. `round_trip_s` is what the client measured last, None before it has.
    """

    def __init__(self, now: float) -> None:
        self.last_heard = now
        self.last_at: float | None = None
        self.round_trip_s: float | None = None
        self._answers: deque[tuple[int, float]] = deque(maxlen=MOST_ANSWERS)
        self._heard_at = 0.0

    def alive_at(self) -> float:
        """Return the monotonic time at which both directions were last known to work."""
        return self.last_heard if self.last_at is None else min(self.last_heard, self.last_at)

    def heard(self, now: float) -> None:
        """Note a sign of life."""
        self.last_heard = now

    def begin(self) -> None:
        """Start over with another stream."""
        self.last_at = None
        self._answers.clear()

    def beat(self, beat_id: int, heard_id: int | None, round_trip_s: float, now: float) -> None:
        """Note a heartbeat that is answered now, and the last answer that its client has heard.

        That is 0 for none, and None if it does not report it.
        """
        if round_trip_s > 0:
            self.round_trip_s = round_trip_s
        if heard_id is not None:
            self._heard(heard_id, now)
            allowed_s = min(max(0.0, round_trip_s), LONGEST_ROUND_TRIP_S) + GRACE_S
            self.last_at = self._heard_at + allowed_s
        self._answers.append((beat_id, now))

    def _heard(self, heard_id: int, now: float) -> None:
        if self.last_at is None:  # the first heartbeat: it knows that the session is established
            self._heard_at = now
        while self._answers and self._answers[0][0] <= heard_id:
            self._heard_at = self._answers.popleft()[1]
