"""Whether control is still wanted, and since when it is not. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# How long control is kept that nobody uses, of a machine that reports that it is at rest.
RESTED_S = 5.0
# Of one that reports nothing.
IDLE_S = 20.0


class Use:
    """Of one machine's control; `is_kept`: a person took it, and keeps it until giving it back."""

    def __init__(self) -> None:
        self.is_kept = False
        self._used_at = 0.0
        self._rests_since: float | None = None
        self._users = 0
        self._leaving = 0

    @property
    def is_wanted(self) -> bool:
        """Whether control must not end by itself now."""
        return self.is_kept or self._users > 0

    @property
    def is_ending(self) -> bool:
        """Whether it is being given up, so that nobody may take it."""
        return self._leaving > 0

    def used(self, now: float) -> None:
        """Note that something was done by it."""
        self._used_at, self._rests_since = now, None

    def reported(self, now: float, *, at_rest: bool) -> None:
        """Note what the machine reports."""
        if not at_rest:
            self._rests_since = None
        elif self._rests_since is None:
            self._rests_since = now

    def is_idle(self, now: float) -> bool:
        """Return whether nobody has used or wanted it for a while."""
        if self.is_wanted:
            return False
        has_rested = self._rests_since is not None and now - self._rests_since >= RESTED_S
        return has_rested or now - self._used_at >= IDLE_S

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Keep control until this ends."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let nobody take control until this ends."""
        self._leaving += 1
        try:
            yield
        finally:
            self._leaving -= 1
