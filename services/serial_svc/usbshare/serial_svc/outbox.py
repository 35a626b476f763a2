"""What waits to be sent to one client: bounded, device bytes in order, gathered under load.

Events go before device bytes, so that a client that does not take its bytes still gets credit,
results and signs of life.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from usbshare.common.errors import LimitError
from usbshare.common.gather import LARGEST_CHUNK_BYTES, Gatherer
from usbshare.serial_svc.events import Closed, Data, Gap, SessionEvent

MOST_DATA_BYTES = 256 * 1024
HIGH_WATER_BYTES = 128 * 1024
LOW_WATER_BYTES = 32 * 1024
MOST_UNACKNOWLEDGED_BYTES = 128 * 1024
MOST_EVENTS = 4096


class _DataRun:
    """Device bytes that follow on each other and are still growing."""

    __slots__ = ("data", "offset")

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset = offset
        self.data = bytearray(data)


class Outbox:
    """Events and device bytes for one client.

    A client that reads too slowly gets a gap notice, never a wait of others. `on_room` is called
    when an outbox that `is_full` has room again.
    """

    def __init__(self, clock: Callable[[], float], on_room: Callable[[], None]) -> None:
        self.is_full = False
        self._clock = clock
        self._on_room = on_room
        self._events: deque[SessionEvent] = deque()
        self._data: deque[_DataRun | Gap] = deque()
        self._gatherer = Gatherer()
        self._acknowledged: int | None = None
        self._sent_offset = 0
        self._data_bytes = 0
        self._lost_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._poked = self._overrun = self._closing = False

    def put(self, event: SessionEvent) -> None:
        """Add an event; a client that lets too many pile up is given up, see `next`."""
        if len(self._events) < MOST_EVENTS:
            self._events.append(event)
        else:
            self._overrun = True
        self._wake()

    def put_data(self, offset: int, data: bytes) -> None:
        """Add device bytes, or count them as lost while there is no room."""
        if self._data_bytes + len(data) > MOST_DATA_BYTES:
            self._lost_bytes += len(data)
            return
        if self._lost_bytes:
            self._data.append(Gap(self._lost_bytes, offset))
            self._lost_bytes = 0
        self._data_bytes += len(data)
        self.is_full = self.is_full or self._data_bytes >= HIGH_WATER_BYTES
        last = self._data[-1] if self._data else None
        if isinstance(last, _DataRun) and len(last.data) < LARGEST_CHUNK_BYTES:
            last.data += data
        else:
            self._data.append(_DataRun(offset, data))
        self._wake()

    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""
        self._data.clear()
        self._left(self._data_bytes)

    def poke(self) -> None:
        """Let `next` return although there may be no event: credit is due."""
        self._poked = True
        self._wake()

    def acknowledged(self, offset: int) -> None:
        """Note that the client has taken every device byte before `offset`."""
        self._acknowledged = max(offset, self._acknowledged or 0)
        self._gatherer.acknowledged(offset)
        self._wake()

    def close(self) -> None:
        """Let the client know, after all else, that the session ended cleanly."""
        self._closing = True
        self._wake()

    async def next(self) -> SessionEvent | None:
        """Return the next event when it is due, or None after a `poke`.

        Raises LimitError once MOST_EVENTS were waiting: the client does not read.
        """
        while True:
            if self._overrun:
                raise LimitError(f"{MOST_EVENTS} events wait: the client reads too slowly")
            if self._events:
                return self._events.popleft()
            wait_s = self._data_wait_s(self._data[0]) if self._data else None
            if wait_s == 0:
                return self._take_data()
            if self._closing and not self._data:
                return Closed()
            if self._poked:
                self._poked = False
                return None
            await self._sleep(wait_s)

    def _data_wait_s(self, first: _DataRun | Gap) -> float | None:
        """Return how long until the first bytes are due; None for until something comes."""
        if isinstance(first, Gap):
            return 0
        # What was sent counts, not what was thrown away or lost before it could be.
        if self._acknowledged is not None:
            in_flight = self._sent_offset - self._acknowledged
            if in_flight > 0 and in_flight + len(first.data) > MOST_UNACKNOWLEDGED_BYTES:
                return None
        if len(self._data) > 1 or self._closing:
            return 0
        return self._gatherer.wait_s(first.data, self._clock())

    def _take_data(self) -> SessionEvent:
        first = self._data.popleft()
        if isinstance(first, Gap):
            return first
        self._sent_offset = first.offset + len(first.data)
        self._gatherer.sent(self._sent_offset, self._clock())
        self._left(len(first.data))
        return Data(first.offset, bytes(first.data))

    def _left(self, size: int) -> None:
        self._data_bytes -= size
        if self.is_full and self._data_bytes <= LOW_WATER_BYTES:
            self.is_full = False
            self._on_room()

    async def _sleep(self, wait_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(wait_s, self._wake) if wait_s is not None else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
