"""What waits to be sent to a client that observes: its place in what the device said last.

The bytes are kept once for all observers of a port, so that each of the device's costs the same
however many observe.
"""

from __future__ import annotations

from usbshare.serial_svc.sessions.events import (
    Data,
    Gap,
    LinesChanged,
    PortChanged,
    QueueState,
    SessionEvent,
    SettingsChanged,
)
from usbshare.serial_svc.sessions.outbox import MOST_DATA_BYTES, Outbox

# An observer gets a message now and then, see ObserverTurns: there is more in it.
LARGEST_OBSERVED_BYTES = 32 * 1024
# Of these only the newest goes out.
STATES = (LinesChanged, PortChanged, QueueState, SettingsChanged)


class Tail:
    """What a device said last, up to `end_offset`: MOST_DATA_BYTES at least, if it said so much."""

    def __init__(self) -> None:
        self.end_offset = 0
        self._data = bytearray()

    def append(self, data: bytes) -> None:
        """Add what the device said."""
        self._data += data
        self.end_offset += len(data)
        if len(self._data) > 2 * MOST_DATA_BYTES:
            del self._data[:-MOST_DATA_BYTES]

    def since(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """Return bytes from there on, and where they begin: later if those there are forgotten."""
        begin = self.end_offset - len(self._data)
        offset = max(offset, begin)
        return offset, bytes(self._data[offset - begin : offset - begin + most_bytes])


class ObserverOutbox(Outbox):
    """Events and device bytes for a client that observes from now on.

    A client that is too slow gets a gap notice instead of what is forgotten.
    """

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self._tail = tail
        self._sent_offset = tail.end_offset

    def put(self, event: SessionEvent) -> None:
        """Add an event, in place of an older one of the same state; see `Outbox.put`."""
        if not (isinstance(event, STATES) and self._replaced(event)):
            super().put(event)

    def discard_data(self) -> None:
        """Throw away device bytes that have not been sent."""
        self._sent_offset = self._tail.end_offset

    def _replaced(self, event: SessionEvent) -> bool:
        """Put a state in place of an older one that waits; False if none does."""
        for index, waiting in enumerate(self._events):
            if type(waiting) is type(event):
                self._events[index] = event
                return True
        return False

    def _has_data(self) -> bool:
        return self._sent_offset < self._tail.end_offset

    def _data_wait_s(self, now: float) -> float | None:
        waiting = self._tail.end_offset - self._sent_offset
        return None if self._is_behind(min(waiting, LARGEST_OBSERVED_BYTES)) else 0

    def _take_data(self, now: float) -> SessionEvent:
        start, data = self._tail.since(self._sent_offset, LARGEST_OBSERVED_BYTES)
        if lost := start - self._sent_offset:
            self._sent_offset = start
            return Gap(lost, start)
        self._sent_offset = start + len(data)
        return Data(start, data)
