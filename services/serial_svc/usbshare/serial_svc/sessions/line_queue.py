"""One session's lines, in order: waiting, given to the serial line, awaiting their replies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from usbshare.line.flow.numbered_lines import numbered
from usbshare.serial_svc.line.scheduler import CommandOutcome, Queued
from usbshare.serial_svc.sessions.client import Command
from usbshare.serial_svc.sessions.events import CommandResult


class Stray(Enum):
    """A reply that may come and is no line's of the session any more."""

    VOID = "to a line that is void"
    OVERTOOK = "to an urgent line, which overtook all"


@dataclass(slots=True, eq=False)
class Entry:
    """A line on its way; `command` is None for one of our own, times are monotonic seconds.

    `complaint`: an error that the firmware reported before its `ok`.
    """

    command: Command | None
    arrived_at: float
    wire: bytes = b""
    goes_alone: bool = False
    number: int | None = None
    times_sent: int = 0
    started_at: float | None = None
    written_at: float | None = None
    complaint: str = ""
    result: CommandResult | None = None

    @property
    def text(self) -> str:
        """The line, for people."""
        data = self.wire if self.command is None else self.command.data
        return data.strip().decode("ascii", errors="replace")

    def prepare(self, wire: bytes, *, alone: bool) -> None:
        """Note what of it is to be written, and whether nothing else may be under way then."""
        self.wire, self.goes_alone = wire, alone

    def count(self, number: int) -> None:
        """Give it a number and a checksum."""
        self.wire, self.number = numbered(self.wire, number), number

    def sent(self) -> None:
        """Note that it was given to the serial line."""
        self.times_sent += 1

    def written(self, started_at: float | None, now: float) -> None:
        """Note that all of it was written, from monotonic time `started_at` on."""
        self.started_at, self.written_at = started_at, now

    def dropped(self, started_at: float | None) -> None:
        """Note that it was dropped, with a part of it written perhaps."""
        self.started_at = started_at

    def complain(self, error: str) -> None:
        """Note an error that the firmware reported; empty for none."""
        self.complaint = error

    def finish(self, result: CommandResult) -> None:
        """Note what became of it."""
        self.result = result


class LineQueue:
    """Keeps the lines and tells what became of each, in their order, by `put`.

    Only its methods change the queues. `expected` has what the replies will be to, in their order.
    """

    def __init__(self, put: Callable[[CommandResult], None], clock: Callable[[], float]) -> None:
        self.waiting: deque[Entry] = deque()
        self.given: deque[Entry] = deque()
        self.expected: deque[Entry | Stray] = deque()
        self.waiting_bytes = 0
        self._untold: deque[Entry] = deque()
        self._put = put
        self._clock = clock

    @property
    def has_strays(self) -> bool:
        """Whether a reply may come that is no line's any more."""
        return any(isinstance(each, Stray) for each in self.expected)

    @property
    def is_owed(self) -> bool:
        """Whether a line of the session awaits its reply."""
        return any(isinstance(each, Entry) for each in self.expected)

    @property
    def held_bytes(self) -> int:
        """How much the firmware may hold of what was given to the line."""
        awaited = sum(len(each.wire) for each in self.expected if isinstance(each, Entry))
        return awaited + sum(len(each.wire) for each in self.given)

    @property
    def has_one_alone(self) -> bool:
        """Whether a line is under way that must be so alone."""
        last = self.given[-1] if self.given else self.expected[-1] if self.expected else None
        return isinstance(last, Entry) and last.goes_alone

    def add(self, entry: Entry) -> None:
        """Let a line wait."""
        self.waiting.append(entry)
        self._untold.append(entry)
        self.waiting_bytes += _size(entry)

    def add_finished(self, entry: Entry, outcome: CommandOutcome, why: str) -> None:
        """Queue a line that will not be written; its result comes in its turn."""
        self._untold.append(entry)
        self.finish(entry, outcome, message=why)

    def give(self) -> Entry:
        """Take the line whose turn it is, to be given to the serial line."""
        entry = self.waiting.popleft()
        self.waiting_bytes -= _size(entry)
        self.given.append(entry)
        return entry

    def give_own(self, entry: Entry) -> None:
        """Put a line of our own before all that wait."""
        self.given.append(entry)

    def give_again(self) -> Entry | None:
        """Take the line that awaits its reply, to be written once more."""
        entry = self.expected.popleft()
        if not isinstance(entry, Entry):
            return None
        self.given.append(entry)
        return entry

    def give_up(self, outcome: CommandOutcome, why: str) -> Entry:
        """Take the line whose turn it is, which will not be written."""
        entry = self.waiting.popleft()
        self.waiting_bytes -= _size(entry)
        self.finish(entry, outcome, message=why)
        return entry

    def written(self, queued: Queued, now: float) -> None:
        """Note that the line given first is written whole, and awaits its reply."""
        entry = self.given.popleft()
        entry.written(queued.started_at, now)
        self.expected.append(entry)

    def dropped(self, queued: Queued, outcome: CommandOutcome, why: str) -> None:
        """Note that the line given first was dropped."""
        entry = self.given.popleft()
        entry.dropped(queued.started_at)
        self.finish(entry, outcome, message=why, written_bytes=queued.written_bytes)

    def take_back(self, why: str, *, is_begun: bool) -> None:
        """Let lines wait again that were given and not written; the first is lost if `is_begun`."""
        if is_begun and self.given:
            self.finish(self.given.popleft(), CommandOutcome.UNANSWERED, message=why)
        while self.given:
            entry = self.given.pop()
            if entry.command is not None:
                self.waiting.appendleft(entry)
                self.waiting_bytes += _size(entry)

    def next_reply(self) -> Entry | Stray:
        """Take what the firmware has replied to."""
        return self.expected.popleft()

    def expect_strays(self, count: int) -> None:
        """Expect so many replies to lines that are void."""
        self.expected.extend([Stray.VOID] * count)

    def overtaken(self, lines: int, *, cuts: bool) -> None:
        """Expect replies to so many urgent lines, and to the beginning of one that they cut."""
        if cuts:
            self.expected.append(Stray.VOID)
        self.expected.extend([Stray.OVERTOOK] * lines)

    def void_waiting(self, outcome: CommandOutcome, why: str) -> int:
        """Give up all that wait; returns how many."""
        entries, self.waiting, self.waiting_bytes = self.waiting, deque(), 0
        for entry in entries:
            self.finish(entry, outcome, message=why)
        return len(entries)

    def void_expected(self, why: str, alarm: str = "", *, may_reply: bool) -> None:
        """Give up all that await a reply; with `may_reply` one may come all the same.

        An alarm is the firmware's reply to the first of them.
        """
        for index, entry in enumerate(self.expected):
            if isinstance(entry, Stray):
                continue
            if alarm:
                self.finish(entry, CommandOutcome.REJECTED, reply=alarm)
                alarm = ""
            else:
                self.finish(entry, CommandOutcome.UNANSWERED, message=why)
            self.expected[index] = Stray.VOID
        if not may_reply:
            self.expected.clear()

    def drop_strays(self) -> None:
        """Expect no replies any more but to lines of the session."""
        self.expected = deque(each for each in self.expected if isinstance(each, Entry))

    def finish(
        self,
        entry: Entry,
        outcome: CommandOutcome,
        *,
        message: str = "",
        reply: str = "",
        written_bytes: int = 0,
    ) -> None:
        """Note the result of a line, and report all results that are next in order."""
        now, written_at = self._clock(), entry.written_at
        command, started_at = entry.command, entry.started_at
        begun_at = now if started_at is None else started_at
        entry.finish(
            CommandResult(
                0 if command is None else command.id,
                outcome,
                written_bytes=written_bytes if written_at is None else _size(entry),
                queue_time_s=begun_at - entry.arrived_at,
                write_time_s=0.0 if written_at is None else written_at - begun_at,
                message=message,
                reply=reply,
                answer_time_s=now - written_at if reply and written_at is not None else None,
            )
        )
        while self._untold and (result := self._untold[0].result) is not None:
            self._untold.popleft()
            self._put(result)


def _size(entry: Entry) -> int:
    return 0 if entry.command is None else len(entry.command.data)
