"""What waits to be sent to one client: events in order, bounded, and device bytes after them.

Events go before device bytes, so that a client that does not take its bytes still gets credit,
results and signs of life.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque

from usbshare.base.errors import LimitError
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.sessions.events import Closed, CommandResult, OperationResult, SessionEvent

MOST_DATA_BYTES = 256 * 1024
MOST_UNACKNOWLEDGED_BYTES = 128 * 1024
MOST_EVENTS = 4096
LASTING = (CommandResult, OperationResult)


class Outbox(ABC):
    """Events and device bytes for one client; `ControlOutbox` and `ObserverOutbox` have the bytes.

    `finished` is set once the closing event has left. If `is_full`, it takes no more device bytes.
    """

    is_full = False

    def __init__(self) -> None:
        self.finished = asyncio.Event()
        self._pump: StreamPump[SessionEvent | None] | None = None
        self._events: deque[SessionEvent] = deque()
        self._acknowledged: int | None = None
        self._sent_offset = 0
        self._is_away = False
        self._poked = self._overrun = self._closing = self._said_goodbye = False

    def attach(self, pump: StreamPump[SessionEvent | None]) -> None:
        """Send by this pump from now on."""
        self._pump = pump
        self._is_away = False
        pump.nudge()

    def detach(self) -> None:
        """Send nothing until the next `attach`; news that will be old by then are dropped."""
        self._pump = None
        self._is_away = True
        self._events = deque(event for event in self._events if isinstance(event, LASTING))

    def resume(self, opened: SessionEvent, offset: int) -> bool:
        """Begin with `opened`, then what a client lacks that has all before `offset`.

        False, and nothing changes, if that is unknown.
        """
        del opened, offset
        return False

    def put(self, event: SessionEvent) -> None:
        """Add an event; a client that lets too many pile up is disconnected, see `take`."""
        if self._is_away and not isinstance(event, LASTING):
            return
        if len(self._events) < MOST_EVENTS:
            self._events.append(event)
        else:
            self._overrun = True
        self._kick()

    @abstractmethod
    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""

    def poke(self) -> None:
        """Let there be something to take although there may be no event: credit is due."""
        self._poked = True
        self._kick()

    def next_offset(self, read_offset: int) -> int:
        """Return the client's own offset of the next device byte, that of the port's stream."""
        return read_offset

    def line_offset(self, offset: int) -> int:
        """Return the offset in the port's stream of a client's own offset: the same."""
        return offset

    def acknowledged(self, offset: int) -> None:
        """Note that the client has taken every device byte before `offset`."""
        if self._acknowledged is None or offset > self._acknowledged:
            self._acknowledged = offset
        if self._has_data():
            self._kick()

    def close(self) -> None:
        """Let the client know, after all else, that the session ended cleanly."""
        self._closing = True
        self._kick()

    def wait_s(self, now: float) -> float | None:
        """Return how many seconds until `take` has something; None if it waits for an event."""
        if self._events or self._poked or self._overrun:
            return 0
        if self._has_data():
            return self._data_wait_s(now)
        if self._said_goodbye:  # and what was taken before this call has left
            self.finished.set()
            return None
        return 0 if self._closing else None

    def take(self, now: float) -> SessionEvent | None:
        """Return the next event, None after a `poke`; only when `wait_s` said 0.

        Raises LimitError once MOST_EVENTS were waiting: the client does not read.
        """
        if self._overrun:
            raise LimitError(f"{MOST_EVENTS} events are waiting: the client reads too slowly")
        was_poked, self._poked = self._poked, False
        if self._events:
            return self._events.popleft()
        if self._has_data() and self._may_send_data(now, gathers=not was_poked):
            return self._take_data(now)
        if was_poked:
            return None
        self._said_goodbye = True
        return Closed()

    @abstractmethod
    def _has_data(self) -> bool:
        """Return whether device bytes wait."""

    @abstractmethod
    def _data_wait_s(self, now: float) -> float | None:
        """Return how long until the first bytes are due; None for until something comes."""

    @abstractmethod
    def _take_data(self, now: float) -> SessionEvent:
        """Return the next device bytes, or how many are lost before them."""

    def _may_send_data(self, now: float, *, gathers: bool) -> bool:
        """Return whether device bytes go now; a message that is sent anyway takes them along."""
        wait_s = self._data_wait_s(now)
        return wait_s == 0 or (wait_s is not None and not gathers)

    def _is_behind(self, size: int) -> bool:
        """Return whether the client must take bytes before it gets so many more.

        What was sent counts, not what was discarded or lost before it could be.
        """
        if self._acknowledged is None:
            return False
        in_flight = self._sent_offset - self._acknowledged
        return in_flight > 0 and in_flight + size > MOST_UNACKNOWLEDGED_BYTES

    def _kick(self) -> None:
        if self._pump is not None:
            self._pump.nudge()
