"""Whether a jog continues: as long as the page that began it renews it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

# After the last renewal; pages renew every 40 ms.
LEASE_S = 0.1
# Maximum age: a renewal that the network delayed does not prove that the button is held now.
AGE_S = 0.12


@dataclass(slots=True)
class Lease:
    """One press on one page, times in loop seconds; `why_ended` is empty while it lasts."""

    page: object
    number: int
    renewed_at: float = -inf
    why_ended: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the machine must be at rest."""
        return bool(self.why_ended)

    def is_of(self, page: object, number: int) -> bool:
        """Return whether that press of that page is meant."""
        return self.page is page and self.number == number

    def begin(self, now: float, made_at: float) -> bool:
        """Begin with a press made at that loop time; False if that was too long ago."""
        self.renewed_at = _counts_from(now, made_at)
        if self.expire(now):
            self.why_ended = f"the press arrived {max(0.0, now - made_at) * 1000:.0f} ms late"
        return not self.is_over

    def renew(self, now: float, made_at: float) -> bool:
        """Renew with a message made at that loop time.

        False if the lease is over, which is final.
        """
        if self.expire(now):
            return False
        self.renewed_at = max(self.renewed_at, _counts_from(now, made_at))
        return not self.expire(now)

    def expire(self, now: float) -> bool:
        """End if no renewal arrived during a lease; returns whether it is over."""
        if not self.is_over and now - self.renewed_at > LEASE_S:
            self.end("the page stopped renewing it")
        return self.is_over

    def end(self, why: str) -> None:
        """End it; the first reason stays."""
        self.why_ended = self.why_ended or why

    def left_s(self, now: float) -> float:
        """Return how many seconds it lasts without another renewal."""
        return 0.0 if self.is_over else max(0.0, self.renewed_at + LEASE_S - now)


def _counts_from(now: float, made_at: float) -> float:
    return min(now, made_at + AGE_S - LEASE_S)
