"""Whether the host knows that a machine rests: a lost link then holds nothing. Pure.

The host takes a machine for working from a program's first byte until the program has had reports
of idle for a second. A person at a console seldom asks, so the console does after each line.
"""

from __future__ import annotations

POLL_S = 1.0
ENOUGH = 3


class Resting:
    """Counts reports of idle since the last line."""

    def __init__(self) -> None:
        self._idle = 0

    @property
    def is_known(self) -> bool:
        """Whether the host has heard often enough that the machine rests."""
        return self._idle >= ENOUGH

    def sent(self) -> None:
        """Note a line for the machine."""
        self._idle = 0

    def reported(self, state: str) -> None:
        """Note a report."""
        self._idle = self._idle + 1 if state == "Idle" else 0
