"""Whether the program in control knew that its machine had nothing left to do.

A machine that says that it is idle may only be starved: its answers did not reach the program, or
the program's next lines did not reach it. It rests only if the program has that very report, and
wrote nothing after it.
"""

from __future__ import annotations

from math import inf

REST_S = 1.0


class KnownRest:
    """Follows one machine and the client in control; `is_known` until program bytes are written."""

    def __init__(self) -> None:
        self._idle_offset: int | None = None
        self._known_at: float | None = -inf

    @property
    def is_known(self) -> bool:
        """Whether the program knows that the machine rests."""
        return self._known_at is not None

    def works(self) -> None:
        """Note that the machine was given something to do, or says that it works."""
        self._idle_offset = self._known_at = None

    def idles(self, offset: int) -> None:
        """Note that the machine said that it is idle, in bytes that end before `offset`."""
        if self._idle_offset is None:
            self._idle_offset = offset

    def acknowledged(self, offset: int, now: float) -> bool:
        """Note that the program has every device byte before `offset`; True if it rests by that."""
        if self._known_at is not None or self._idle_offset is None or offset < self._idle_offset:
            return False
        self._known_at = now
        return True

    def stopped(self) -> None:
        """Note that nothing is left to do: the program was thrown away, or took its leave."""
        self._known_at = -inf

    def was_known(self, moment: float) -> bool:
        """Return whether the program had known it for REST_S at that moment, and left it at that.

        What is shorter may be a pause between two lines.
        """
        return self._known_at is not None and moment - self._known_at >= REST_S
