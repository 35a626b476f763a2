"""The lines of one machine's console, as far back as is kept, and the pages that show them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

KEPT_LINES = 1000
LONGEST_TEXT = 1000


class Origin(Enum):
    """Where a line comes from."""

    SENT = "sent"
    MACHINE = "machine"
    NEWS = "news"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line; `unix_s` is when it came, by this computer's clock."""

    number: int
    unix_s: float
    origin: Origin
    text: str


class Console:
    """Keeps the latest lines; `shown` gets those and then each new one, until it is taken away."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lines: deque[ConsoleLine] = deque(maxlen=KEPT_LINES)
        self._number = 0
        self._shown: dict[object, Callable[[ConsoleLine], None]] = {}

    @property
    def is_shown(self) -> bool:
        """Whether a page shows it."""
        return bool(self._shown)

    def add(self, origin: Origin, text: str) -> None:
        """Add a line."""
        self._number += 1
        line = ConsoleLine(self._number, self._clock(), origin, text[:LONGEST_TEXT])
        self._lines.append(line)
        for show in list(self._shown.values()):
            show(line)

    def show(self, who: object, show: Callable[[ConsoleLine], None]) -> None:
        """Show the kept lines, and each new one; each viewer gets them once."""
        if who not in self._shown:
            self._shown[who] = show
            for line in self._lines:
                show(line)

    def hide(self, who: object) -> None:
        """Stop showing it there."""
        self._shown.pop(who, None)
