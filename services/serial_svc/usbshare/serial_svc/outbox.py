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
from usbshare.common.pump import StreamPump
from usbshare.serial_svc.events import (
    Closed,
    CommandResult,
    Data,
    Gap,
    LinesChanged,
    OperationResult,
    PortChanged,
    QueueState,
    SessionEvent,
    SettingsChanged,
)
from usbshare.serial_svc.replay import Replay

MOST_DATA_BYTES = 256 * 1024
HIGH_WATER_BYTES = 128 * 1024
LOW_WATER_BYTES = 32 * 1024
MOST_UNACKNOWLEDGED_BYTES = 128 * 1024
MOST_EVENTS = 4096
# Who observes gets a message now and then, see Gallery: there is more in it.
LARGEST_OBSERVED_BYTES = 32 * 1024
LASTING = (CommandResult, OperationResult)
# Who observes gets the newest of each only.
STATES = (LinesChanged, PortChanged, QueueState, SettingsChanged)
_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less


class _DataRun:
    """Device bytes that follow on each other and are still growing."""

    __slots__ = ("data", "offset")

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset = offset
        self.data = bytearray(data)


class Outbox:
    """Events and device bytes for one client.

    A client that reads too slowly gets a gap notice, never a wait of others. `on_room` is called
    when an outbox that `is_full` has room again. `finished` is set once the goodbye has left.
    With a `replay` a client that was lost can `resume`.
    """

    def __init__(self, on_room: Callable[[], None], replay: Replay | None = None) -> None:
        self.is_full = False
        self._pump: StreamPump[SessionEvent | None] | None = None
        self.finished = asyncio.Event()
        self._on_room = on_room
        self._replay = replay
        self._largest_chunk_bytes = LARGEST_CHUNK_BYTES if replay else LARGEST_OBSERVED_BYTES
        self._is_away = False
        self._events: deque[SessionEvent] = deque()
        self._data: deque[_DataRun | Gap] = deque()
        self._gatherer = Gatherer()
        self._acknowledged: int | None = None
        self._sent_offset = 0
        self._data_bytes = 0
        self._lost_bytes = 0
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

        False, and nothing changes, if that cannot be told.
        """
        chunks = self._replay.take_from(offset) if self._replay is not None else None
        if chunks is None:
            return False
        for start, data in reversed(chunks):
            self._data.appendleft(_DataRun(start, data))
            self._data_bytes += len(data)
        self._acknowledged = self._gatherer.acknowledged_offset = self._sent_offset = offset
        self._gatherer.sent(offset, 0.0)
        self._events.appendleft(opened)
        return True

    def put(self, event: SessionEvent) -> None:
        """Add an event; a client that lets too many pile up is given up, see `take`."""
        if self._is_away and not isinstance(event, LASTING):
            return
        if self._replay is None and isinstance(event, STATES) and self._replaced(event):
            return  # one turn is asked for already
        if len(self._events) < MOST_EVENTS:
            self._events.append(event)
        else:
            self._overrun = True
        self._kick()

    def _replaced(self, event: SessionEvent) -> bool:
        """Put a state in place of an older one that waits; False if none does."""
        for index, waiting in enumerate(self._events):
            if type(waiting) is type(event):
                self._events[index] = event
                return True
        return False

    def put_data(self, offset: int, data: bytes, now: float) -> None:
        """Add device bytes, or count them as lost while there is no room."""
        end = offset + len(data)
        pump = self._pump
        if pump and self._may_pass(data, end) and pump.offer(_new_tuple(Data, (offset, data))):
            self._sent_offset = end
            self._gatherer.sent(end, now)
            if self._replay is not None:
                self._replay.sent(offset, data)
        else:
            self._queue_data(offset, data)

    def _may_pass(self, data: bytes, end: int) -> bool:
        """Tell whether bytes that end there may go past the empty queues at once."""
        if self._data or self._events or self._lost_bytes:
            return False
        if self._acknowledged is not None and end - self._acknowledged > MOST_UNACKNOWLEDGED_BYTES:
            return False
        return self._gatherer.is_due(data)

    def _queue_data(self, offset: int, data: bytes) -> None:
        if self._data_bytes + len(data) > MOST_DATA_BYTES:
            self._lost_bytes += len(data)
            return
        if self._lost_bytes:
            self._data.append(Gap(self._lost_bytes, offset))
            self._lost_bytes = 0
        self._data_bytes += len(data)
        self.is_full = self.is_full or self._data_bytes >= HIGH_WATER_BYTES
        last = self._data[-1] if self._data else None
        if isinstance(last, _DataRun) and len(last.data) < self._largest_chunk_bytes:
            last.data += data
        else:
            self._data.append(_DataRun(offset, data))
        self._kick()

    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""
        self._data.clear()
        self._left(self._data_bytes)

    def poke(self) -> None:
        """Let there be something to take although there may be no event: credit is due."""
        self._poked = True
        self._kick()

    def acknowledged(self, offset: int) -> None:
        """Note that the client has taken every device byte before `offset`."""
        if self._acknowledged is None or offset > self._acknowledged:
            self._acknowledged = self._gatherer.acknowledged_offset = offset
            if self._replay is not None:
                self._replay.acknowledged(offset)
        if self._data:
            self._kick()

    def close(self) -> None:
        """Let the client know, after all else, that the session ended cleanly."""
        self._closing = True
        self._kick()

    def wait_s(self, now: float) -> float | None:
        """Return how long until `take` has something; 0 for now, None for until something comes."""
        if self._events or self._poked or self._overrun:
            return 0
        if self._data:
            return self._data_wait_s(self._data[0], now)
        if self._said_goodbye:  # and what was taken before this call has left
            self.finished.set()
            return None
        return 0 if self._closing else None

    def take(self, now: float) -> SessionEvent | None:
        """Return the next event, None after a `poke`; only when `wait_s` said 0.

        Raises LimitError once MOST_EVENTS were waiting: the client does not read.
        """
        if self._overrun:
            raise LimitError(f"{MOST_EVENTS} events wait: the client reads too slowly")
        was_poked, self._poked = self._poked, False
        if self._events:
            return self._events.popleft()
        if self._data and self._data_wait_s(self._data[0], now) == 0:
            return self._take_data(now)
        if was_poked:
            return None
        self._said_goodbye = True
        return Closed()

    def _data_wait_s(self, first: _DataRun | Gap, now: float) -> float | None:
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
        return self._gatherer.wait_s(first.data, now)

    def _take_data(self, now: float) -> SessionEvent:
        first = self._data.popleft()
        if isinstance(first, Gap):
            return first
        self._sent_offset = first.offset + len(first.data)
        self._gatherer.sent(self._sent_offset, now)
        self._left(len(first.data))
        data = bytes(first.data)
        if self._replay is not None:
            self._replay.sent(first.offset, data)
        return Data(first.offset, data)

    def _left(self, size: int) -> None:
        self._data_bytes -= size
        if self.is_full and self._data_bytes <= LOW_WATER_BYTES:
            self.is_full = False
            self._on_room()

    def _kick(self) -> None:
        if self._pump is not None:
            self._pump.nudge()
