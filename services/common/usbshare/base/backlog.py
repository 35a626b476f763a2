"""Items that wait for a thread; bounded, and adding never blocks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """Items in order, for many who add and one thread that takes; no work is done under its lock.

    Past `most` new ones are lost and counted; once there is room again, `loss` makes the item that
    says how many.
    """

    def __init__(self, most: int, clock: Callable[[], float], loss: Callable[[int], T]) -> None:
        self._most = most
        self._clock = clock
        self._loss = loss
        self._items: deque[tuple[float, T]] = deque()
        self._lost = 0
        self._ever_lost = 0
        self._ended = False
        self._news = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def age_s(self) -> float:
        """How long the oldest item has waited; 0 if none waits."""
        now = self._clock()
        with self._news:
            return now - self._items[0][0] if self._items else 0.0

    @property
    def ever_lost(self) -> int:
        """How many items were lost so far."""
        return self._ever_lost

    def add(self, item: T) -> None:
        """Add an item, or count it if there are too many."""
        now = self._clock()
        with self._news:
            if len(self._items) < self._most:
                self._items.append((now, item))
                self._news.notify_all()
            else:
                self._lost += 1
                self._ever_lost += 1

    def end(self) -> None:
        """Release all that wait."""
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for an item; True if there is one, or there will be no more."""
        with self._news:
            return self._news.wait_for(lambda: bool(self._items) or self._ended, timeout_s)

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until all that waits is taken; blocks, that long at most; False if it is not."""
        with self._news:
            return self._news.wait_for(lambda: not self._items, timeout_s)

    def items(self) -> list[T]:
        """Return all that wait, and where there is room again what was lost; they stay here."""
        now = self._clock()
        with self._news:
            if self._lost and len(self._items) < self._most:
                self._items.append((now, self._loss(self._lost)))
                self._lost = 0
            return [item for _, item in self._items]

    def taken(self, count: int) -> None:
        """Remove that many of the oldest items."""
        with self._news:
            for _ in range(count):
                self._items.popleft()
            self._news.notify_all()
