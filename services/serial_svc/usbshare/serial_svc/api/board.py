"""Messages about ports that many watch: each is made once for all of them, and not too often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from usbshare.serial_svc.ports.port import SerialPort

# A tenth of the loop's time at most.
MOST_MESSAGES_PER_S = 2000.0
# Less than the shortest interval that may be asked for.
OLDEST_S = 0.09

_Message = TypeVar("_Message")


class Board(Generic[_Message]):
    """Makes a message of each port now and then, for all who watch."""

    def __init__(self, make: Callable[[SerialPort], _Message], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._made: dict[str, tuple[float, _Message]] = {}
        self._watchers = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count who watches while the block lasts."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def least_interval_s(self, ports: int) -> float:
        """Return how often who watches so many ports gets them: the rarer, the more watch."""
        return self._watchers * ports / MOST_MESSAGES_PER_S

    def of(self, port: SerialPort) -> _Message:
        """Return the message about a port, no older than OLDEST_S."""
        now = self._clock()
        made = self._made.get(port.id)
        if made is None or now - made[0] > OLDEST_S:
            made = self._made[port.id] = (now, self._make(port))
        return made[1]
