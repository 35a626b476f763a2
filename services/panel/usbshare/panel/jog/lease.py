"""Whether a jog goes on: for as long as the page that began it says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# After the last renewal; pages renew every 50 ms.
LEASE_S = 0.1


@dataclass(slots=True)
class Lease:
    """A press of a finger on one page; `why_ended` is empty while it lasts."""

    page: object
    number: int
    renewed_at: float
    why_ended: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the machine must be at rest."""
        return bool(self.why_ended)

    def is_of(self, page: object, number: int) -> bool:
        """Return whether that press of that page is meant."""
        return self.page is page and self.number == number

    def renew(self, now: float) -> bool:
        """Go on; False where it is over, which nothing undoes."""
        if self.expire(now):
            return False
        self.renewed_at = now
        return True

    def expire(self, now: float) -> bool:
        """End where nothing was heard for the time of a lease; returns whether it is over."""
        if not self.is_over and now - self.renewed_at > LEASE_S:
            self.end("the page was silent")
        return self.is_over

    def end(self, why: str) -> None:
        """End it; the first reason stays."""
        self.why_ended = self.why_ended or why

    def left_s(self, now: float) -> float:
        """Return how long it lasts without another renewal."""
        return 0.0 if self.is_over else max(0.0, self.renewed_at + LEASE_S - now)
