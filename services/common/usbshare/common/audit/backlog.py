"""The lines that wait to be written: bounded, and never in the way of those who add to them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Entry = dict[str, object]


class Backlog:
    """Lines in order, for many who add and one who writes; nothing is done under its lock.

    Past `most` new ones are lost and counted; `loss` makes the line that says how many.
    """

    def __init__(self, most: int, clock: Callable[[], float], loss: Callable[[int], Entry]) -> None:
        self._most = most
        self._clock = clock
        self._loss = loss
        self._lines: deque[tuple[float, Entry]] = deque()
        self._lost = 0
        self._ended = False
        self._news = threading.Condition()

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def age_s(self) -> float:
        """How long the oldest line has waited; 0 if none waits."""
        now = self._clock()
        with self._news:
            return now - self._lines[0][0] if self._lines else 0.0

    def add(self, line: Entry) -> None:
        """Add a line, or count it if there are too many."""
        now = self._clock()
        with self._news:
            if len(self._lines) < self._most:
                self._lines.append((now, line))
                self._news.notify()
            else:
                self._lost += 1

    def end(self) -> None:
        """Let nobody wait any more."""
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a line; True if there is one, or there will be no more."""
        with self._news:
            return self._news.wait_for(lambda: bool(self._lines) or self._ended, timeout_s)

    def lines(self) -> list[Entry]:
        """Return all that wait, and where there is room again what was lost; they stay here."""
        now = self._clock()
        with self._news:
            if self._lost and len(self._lines) < self._most:
                self._lines.append((now, self._loss(self._lost)))
                self._lost = 0
            return [line for _, line in self._lines]

    def written(self, count: int) -> None:
        """Let go of the oldest."""
        with self._news:
            for _ in range(count):
                self._lines.popleft()
