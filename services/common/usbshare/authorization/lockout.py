"""How long a caller waits after wrong codes: longer each time, then until it is unlocked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# A mistake or two cost nothing, ten in a row are no mistakes any more.
FREE, MOST_WRONG = 2, 10
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Guesses:
    """How many wrong codes came in a row since the last right one, and when the last did."""

    wrong: int = 0
    at: datetime | None = None

    @property
    def is_locked(self) -> bool:
        """Whether it is locked until an administrator unlocks it."""
        return self.wrong >= MOST_WRONG

    def left(self, now: datetime) -> timedelta:
        """Return how long to wait before the next; a clock that was set back is no reason."""
        if self.wrong <= FREE or self.at is None or now < self.at:
            return timedelta(0)
        pause = min(FIRST_PAUSE * float(2 ** (self.wrong - FREE - 1)), LONGEST_PAUSE)
        return max(self.at + pause - now, timedelta(0))

    def with_wrong(self, now: datetime) -> Guesses:
        """Return them with one more."""
        return Guesses(self.wrong + 1, now)


def read_guesses(factor: dict[str, object]) -> Guesses:
    """Return what an entry of the file says; one that makes no sense is locked."""
    wrong, at = factor.get("wrong", 0), factor.get("wrong_at")
    if not isinstance(wrong, int):
        return Guesses(MOST_WRONG)
    try:
        return Guesses(wrong, datetime.fromisoformat(str(at)).astimezone() if at else None)
    except ValueError:
        return Guesses(MOST_WRONG)


def write_guesses(factor: dict[str, object], guesses: Guesses) -> None:
    """Put them into an entry of the file."""
    factor.pop("wrong", None)
    factor.pop("wrong_at", None)
    if guesses.wrong and guesses.at is not None:
        factor.update(wrong=guesses.wrong, wrong_at=guesses.at.isoformat())
