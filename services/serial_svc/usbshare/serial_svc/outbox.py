"""What waits to be sent to one client: bounded, in order, gathered under load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from usbshare.common.errors import LimitError
from usbshare.common.gather import LARGEST_CHUNK_BYTES, Gatherer
from usbshare.serial_svc.events import Closed, Data, Gap, SessionEvent

MOST_DATA_BYTES = 256 * 1024
MOST_EVENTS = 4096


class _DataRun:
    """Device bytes that follow on each other and are still growing."""

    __slots__ = ("data", "offset")

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset = offset
        self.data = bytearray(data)


class Outbox:
    """Events for one client. A client that reads too slowly gets a gap notice, never a wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: deque[SessionEvent | _DataRun] = deque()
        self._gatherer = Gatherer()
        self._data_bytes = 0
        self._lost_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._urgent = False
        self._overrun = False

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
            self._events.append(Gap(self._lost_bytes, offset))
            self._lost_bytes = 0
        self._data_bytes += len(data)
        last = self._events[-1] if self._events else None
        if isinstance(last, _DataRun) and len(last.data) < LARGEST_CHUNK_BYTES:
            last.data += data
        else:
            self._events.append(_DataRun(offset, data))
        self._wake()

    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""
        self._events = deque(e for e in self._events if not isinstance(e, _DataRun))
        self._data_bytes = 0

    def poke(self) -> None:
        """Let `next` return although there may be no event: credit is due."""
        self._urgent = True
        self._wake()

    def acknowledged(self, offset: int) -> None:
        """Note that the client has every device byte before `offset`."""
        self._gatherer.acknowledged(offset)

    async def next(self) -> SessionEvent | None:
        """Return the next event when it is due, or None after a `poke`.

        Raises LimitError once MOST_EVENTS were waiting: the client does not read.
        """
        while (wait_s := self._wait_s()) != 0:
            await self._sleep(wait_s)
        self._urgent = False
        if self._overrun:
            raise LimitError(f"more than {MOST_EVENTS} events wait: the client reads too slowly")
        return self._take()

    def close(self) -> None:
        """Let the client know, after all else, that the session ended cleanly."""
        self.put(Closed())

    def _wait_s(self) -> float | None:
        """Return how long until something is due; None for until something comes."""
        if self._urgent:
            return 0
        if not self._events:
            return None
        first = self._events[0]
        if not isinstance(first, _DataRun) or len(self._events) > 1:
            return 0
        return self._gatherer.wait_s(first.data, self._clock())

    def _take(self) -> SessionEvent | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if not isinstance(event, _DataRun):
            return event
        self._data_bytes -= len(event.data)
        self._gatherer.sent(event.offset + len(event.data), self._clock())
        return Data(event.offset, bytes(event.data))

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
