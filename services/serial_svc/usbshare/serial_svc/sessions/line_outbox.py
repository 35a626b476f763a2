"""What waits to be sent to a client that streams lines: results that it may ask for once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.base.time_stats import TimeStats
from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import CommandResult, SessionEvent

KEPT_RESULTS = 4096
MOST_MARKS = 4096


class LineOutbox(ControlOutbox):
    """Device bytes without the replies to the session's lines, in a stream of their own.

    `hear` takes bytes of the device and returns those that are no such replies. The latest results
    are kept: a client whose link was lost says how many it has. A result goes behind the device
    bytes that came with its reply or before it: an answer to `$G` is complete before its `ok`.
    """

    def __init__(
        self,
        on_room: Callable[[], None],
        start_offset: int,
        hear: Callable[[bytes, float], bytes],
        times: TimeStats | None = None,
    ) -> None:
        super().__init__(on_room, start_offset, times)
        self._end_offset = start_offset
        self._hear = hear
        self._results: deque[CommandResult] = deque(maxlen=KEPT_RESULTS)
        self._results_made = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=MOST_MARKS)
        self._line_offset = start_offset
        self._heard: list[CommandResult] | None = None
        self._behind: dict[int, int] = {}  # offsets of data that goes before results

    def put(self, event: SessionEvent) -> None:
        """Add an event; a result is kept as well."""
        if isinstance(event, CommandResult):
            self._results.append(event)
            self._results_made += 1
            if self._heard is not None:
                self._heard.append(event)
                return
        super().put(event)

    def put_data(self, offset: int, data: bytes, now: float) -> None:
        """Take device bytes at their offset in the port's stream; pass on what is no reply."""
        heard: list[CommandResult] = []
        self._heard = heard
        try:
            passed = self._hear(data, now)
        finally:
            self._heard = None
        if passed:
            super().put_data(self._end_offset, passed, now)
            self._end_offset += len(passed)
            self._marks.append((self._end_offset, offset + len(data)))
        for result in heard:
            self._behind[result.command_id] = self._end_offset
            super().put(result)

    def take(self, now: float) -> SessionEvent | None:
        """Return the next event, or the device bytes that go before it; see Outbox.take."""
        if self._data_goes_first(now):
            return self._take_data(now)
        event = super().take(now)
        if isinstance(event, CommandResult):
            self._behind.pop(event.command_id, None)
        return event

    def _data_goes_first(self, now: float) -> bool:
        """Return whether the first event is a result whose data can go and has not."""
        first = self._events[0] if self._events else None
        if not isinstance(first, CommandResult) or not self._has_data() or self._overrun:
            return False
        offset = self._behind.get(first.command_id, 0)
        return offset > self._sent_offset and self._data_wait_s(now) is not None

    def next_offset(self, read_offset: int) -> int:
        """Return the offset of the next byte in the session's own stream."""
        del read_offset
        return self._end_offset

    def acknowledged(self, offset: int) -> None:
        """Keep no marks either of what the client has."""
        super().acknowledged(offset)
        self.line_offset(offset)

    def line_offset(self, offset: int) -> int:
        """Return up to where in the port's stream the client has what is before an offset."""
        while self._marks and self._marks[0][0] <= offset:
            self._line_offset = self._marks.popleft()[1]
        return self._line_offset

    def keeps_results_from(self, count: int) -> bool:
        """Return whether all results after so many are kept."""
        first = self._results_made - len(self._results)
        return first <= count <= self._results_made

    def tell_results_from(self, count: int) -> None:
        """Send all results after so many, for a client that does not have them."""
        first = self._results_made - len(self._results)
        others = [event for event in self._events if not isinstance(event, CommandResult)]
        self._events = deque([*others, *list(self._results)[count - first :]])
