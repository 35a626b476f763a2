"""What waits to be sent to a client that streams lines: results that it may ask for once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import CommandResult, SessionEvent

KEPT_RESULTS = 4096
MOST_MARKS = 4096


class LineOutbox(ControlOutbox):
    """Device bytes without the replies to the session's lines, in a stream of their own.

    `hear` takes bytes of the device and returns those that are no such replies. The latest results
    are kept: a client whose link was lost says how many it has.
    """

    def __init__(
        self,
        on_room: Callable[[], None],
        start_offset: int,
        hear: Callable[[bytes, float], bytes],
    ) -> None:
        super().__init__(on_room, start_offset)
        self._end_offset = start_offset
        self._hear = hear
        self._results: deque[CommandResult] = deque(maxlen=KEPT_RESULTS)
        self._results_made = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=MOST_MARKS)
        self._line_offset = start_offset

    def put(self, event: SessionEvent) -> None:
        """Add an event; a result is kept as well."""
        if isinstance(event, CommandResult):
            self._results.append(event)
            self._results_made += 1
        super().put(event)

    def put_data(self, offset: int, data: bytes, now: float) -> None:
        """Take device bytes at their offset in the port's stream; pass on what is no reply."""
        passed = self._hear(data, now)
        if passed:
            super().put_data(self._end_offset, passed, now)
            self._end_offset += len(passed)
            self._marks.append((self._end_offset, offset + len(data)))

    def next_offset(self, read_offset: int) -> int:
        """Return the offset of the next byte in the session's own stream."""
        del read_offset
        return self._end_offset

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
