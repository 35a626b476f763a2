"""What a program wrote while the link was down and was not read: it arrives late, as if new.

A port or socket holds kilobytes behind what is read ahead, and says nothing of their age.
"""

from __future__ import annotations

from collections.abc import Callable

# A program that waits in a write goes on sooner, a person's button comes later.
QUIET_S = 0.1


class Backlog:
    """Knows whether what is read is of the time away.

    It is until all was read, and for a moment nothing came though there was room.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._drained_at: float | None = None
        self._away_at = 0.0
        self.is_unread = False

    def begin(self, room: int, age_s: float) -> None:
        """Note that the link is back after that time; without room something may lie unread."""
        self.is_unread = room <= 0
        self._drained_at = None
        self._away_at = self._clock() - age_s

    def end(self) -> None:
        """Note that it is another session: what is of the one before is void."""
        self.is_unread = False

    def comes(self, size: int, room: int) -> bool:
        """Note what was read, with room for so much; returns whether it is of the time away."""
        if not self.is_unread:
            return False
        now = self._clock()
        if self._drained_at is not None and now - self._drained_at >= QUIET_S:
            self.is_unread = False
            return False
        self._drained_at = now if size < room else None
        return True

    @property
    def age_s(self) -> float:
        """How old it is at most."""
        return self._clock() - self._away_at
