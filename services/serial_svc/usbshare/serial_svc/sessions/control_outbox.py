"""What waits to be sent to the client in control: device bytes gathered under load."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.base.gather import LARGEST_CHUNK_BYTES, Gatherer
from usbshare.base.time_stats import TimeStats
from usbshare.serial_svc.sessions.events import Data, Gap, SessionEvent
from usbshare.serial_svc.sessions.outbox import MOST_DATA_BYTES, MOST_UNACKNOWLEDGED_BYTES, Outbox
from usbshare.serial_svc.sessions.replay import Replay

HIGH_WATER_BYTES = 128 * 1024
LOW_WATER_BYTES = 32 * 1024
# Credit does not wait for it: that goes alone, or takes along what is here.
STREAM_GATHER_S = 0.006
OLD_S = 0.010
_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less


class _DataRun:
    """Device bytes that follow on each other and are still growing."""

    __slots__ = ("data", "offset", "since")

    def __init__(self, offset: int, data: bytes, since: float | None) -> None:
        self.offset = offset
        self.data = bytearray(data)
        self.since = since


class ControlOutbox(Outbox):
    """Events and device bytes for the client in control.

    A client that reads too slowly gets a gap notice, never a wait of others. `on_room` is called
    when an outbox that `is_full` has room again. A client that was lost can `resume`.
    """

    def __init__(
        self, on_room: Callable[[], None], start_offset: int, times: TimeStats | None = None
    ) -> None:
        super().__init__()
        self._times = times or TimeStats()
        self._on_room = on_room
        self._replay = Replay(start_offset, MOST_UNACKNOWLEDGED_BYTES)
        self._data: deque[_DataRun | Gap] = deque()
        self._gatherer = Gatherer(STREAM_GATHER_S)
        self._data_bytes = 0
        self._lost_bytes = 0

    def resume(self, opened: SessionEvent, offset: int) -> bool:
        """Begin with `opened`, then what a client lacks that has all before `offset`.

        False, and nothing changes, if that is unknown.
        """
        chunks = self._replay.take_from(offset)
        if chunks is None:
            return False
        for start, data in reversed(chunks):
            self._data.appendleft(_DataRun(start, data, None))
            self._data_bytes += len(data)
        self._acknowledged = self._sent_offset = offset
        self._gatherer.acknowledged(offset)
        self._gatherer.sent(offset, 0.0)
        self._events.appendleft(opened)
        return True

    def put_data(self, offset: int, data: bytes, now: float) -> None:
        """Add device bytes, or count them as lost while there is no room."""
        end = offset + len(data)
        pump = self._pump
        if pump and self._may_pass(data, end) and pump.offer(_new_tuple(Data, (offset, data, 0.0))):
            self._sent_offset = end
            self._gatherer.sent(end, now)
            self._replay.sent(offset, data)
            self._times.add_none(now)
        else:
            self._queue_data(offset, data, now)

    def acknowledged(self, offset: int) -> None:
        """Keep nothing any more of what the client has; see `Outbox.acknowledged`."""
        if self._acknowledged is None or offset > self._acknowledged:
            self._acknowledged = offset
            self._gatherer.acknowledged(offset)
            self._replay.acknowledged(offset)
        if self._data:
            self._kick()

    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""
        self._data.clear()
        self._left(self._data_bytes)

    def _may_pass(self, data: bytes, end: int) -> bool:
        """Return whether bytes that end there may go past the empty queues at once."""
        if self._data or self._events or self._lost_bytes:
            return False
        if self._acknowledged is not None and end - self._acknowledged > MOST_UNACKNOWLEDGED_BYTES:
            return False
        return data.endswith(b"\n") or self._gatherer.is_due(data)

    def _queue_data(self, offset: int, data: bytes, now: float) -> None:
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
            self._data.append(_DataRun(offset, data, now))
        self._kick()

    def _has_data(self) -> bool:
        return bool(self._data)

    def _data_wait_s(self, now: float) -> float | None:
        first = self._data[0]
        if isinstance(first, Gap):
            return 0
        if self._is_behind(len(first.data)):
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
        self._replay.sent(first.offset, data)
        return Data(first.offset, data, self._age_s(first, now))

    def _age_s(self, run: _DataRun, now: float) -> float:
        """Return how long bytes waited, if that is worth telling; those sent again do not count."""
        if run.since is None:
            return 0.0
        age_s = max(0.0, now - run.since)
        self._times.add(age_s, now)
        return age_s if age_s >= OLD_S else 0.0

    def _left(self, size: int) -> None:
        self._data_bytes -= size
        if self.is_full and self._data_bytes <= LOW_WATER_BYTES:
            self.is_full = False
            self._on_room()
