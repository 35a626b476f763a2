"""Delivers one session's lines as fast as the firmware takes them, and takes its replies.

It is the only one that matches an `ok` with the line that it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usbshare.line.flow.character_counting import (
    FlowRules,
    build_buffer_bytes,
    idle_buffer_bytes,
    rules_of,
)
from usbshare.line.flow.gcode_line import bare, goes_alone
from usbshare.line.flow.numbered_lines import FIRST, answered_number, asked_number, numbered
from usbshare.line.flow.replies import GRBL_DIALECT, Kind, ReplySplitter, Said
from usbshare.line.profiles import Priority
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.scheduler import CommandOutcome, Queued
from usbshare.serial_svc.sessions.client import Command, LineChoice
from usbshare.serial_svc.sessions.events import CommandResult
from usbshare.serial_svc.sessions.line_queue import Entry, LineQueue, Stray
from usbshare.serial_svc.sessions.line_wire import wire_of
from usbshare.serial_svc.sessions.missing_replies import MissingReplies
from usbshare.serial_svc.sessions.readiness import Readiness
from usbshare.serial_svc.sessions.unfinished_line import SPOILER
from usbshare.serial_svc.stop.line_errors import LineErrors

VOID = "a stop or a reset came before its reply"
_NOTHING = "the firmware does not reply to an empty line"
MOST_RESENDS = 10


class LineSource(Protocol):
    """Whose lines they are."""

    is_held: bool


class LineDelivery:
    """The lines of one session in control, from their arrival to their result.

    `begin` comes first, once there is a device.
    """

    def __init__(
        self,
        source: LineSource,
        line: Line,
        choice: LineChoice,
        errors: LineErrors,
        put: Callable[[CommandResult], None],
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._line = line
        self._choice = choice
        self._errors = errors
        self._clock = clock
        self._rules = rules_of(line.profile) or FlowRules(GRBL_DIALECT, 128)
        self._queue = LineQueue(put, clock)
        self._replies = ReplySplitter(self._rules.dialect, lambda: bool(self._queue.expected))
        self._missing = MissingReplies(line, self._queue, clock, self._look)
        self._alarm = ""
        self._awaits_ok = ""  # to a request to send a line again
        self._number: int | None = None
        self._readiness = Readiness(clock)
        self._spoils = False

    def begin(self, rules: FlowRules, begun: bytes = b"") -> None:
        """Begin to deliver lines to this firmware.

        What it has not answered to a session before may still come: GRBL says when it rests.
        `begun`: the beginning of a line that it holds, which must not be carried out.
        """
        self._rules = rules
        self._replies = ReplySplitter(rules.dialect, lambda: bool(self._queue.expected))
        firmware, is_grbl = self._line.firmware, rules.dialect is GRBL_DIALECT
        self._readiness.begin(owes_replies=firmware.owes_replies and is_grbl)
        self._queue.expect_strays(firmware.take_unanswered())
        self._spoils = is_grbl and bool(begun)
        self._missing.begin(reports=is_grbl)
        readiness, queue = self._readiness, self._queue
        if readiness.awaits_rest or readiness.ends_at_report or queue.has_strays:
            self._missing.expect()
            self._missing.ask()

    def end(self) -> None:
        """Stop delivering."""
        self._missing.rest()
        self._line.firmware.left_unanswered(len(self._queue.expected), self._replies)

    @property
    def buffer_bytes(self) -> int:
        """How much the firmware takes before it has answered; 0 for one line at a time."""
        return self._rules.buffer_bytes and (
            self._line.firmware.buffer_bytes or self._rules.buffer_bytes
        )

    @property
    def is_busy(self) -> bool:
        """Whether lines wait, or replies to them."""
        queue = self._queue
        return bool(queue.waiting or queue.given or queue.expected)

    def waiting(self) -> tuple[int, int]:
        """Return how many lines and bytes wait that were not given to the line."""
        return len(self._queue.waiting), self._queue.waiting_bytes

    def oldest_age_s(self, now: float) -> float:
        """Return how long the oldest line has waited that was not given to the line; 0 for none."""
        waiting = self._queue.waiting
        return now - waiting[0].arrived_at if waiting else 0.0

    # What the session tells.

    def add(self, command: Command) -> None:
        """Take a line, to be written when its turn comes."""
        self._queue.add(Entry(command, self._clock()))
        self.pump()

    def refuse(self, command: Command, outcome: CommandOutcome, why: str) -> None:
        """Queue a line that will not be written; its result comes in its turn."""
        self._queue.add_finished(Entry(command, self._clock()), outcome, why)

    def done(self, queued: Queued, outcome: CommandOutcome, now: float, why: str) -> None:
        """Note what became of the line that was given to the serial line first."""
        if outcome is CommandOutcome.WRITTEN:
            self._queue.written(queued, now)
            self._missing.expect()
        else:
            self._queue.dropped(queued, outcome, why)
            self._spoils |= bool(queued.written_bytes) and self._rules.dialect is GRBL_DIALECT

    def released(self) -> None:
        """Go on: a person decided so, and no reply to what is void will come any more."""
        self._queue.drop_strays()
        self.pump()

    def pump(self) -> None:
        """Give the serial line what the firmware takes now."""
        while self._queue.waiting and self._may_give():
            if (problem := self._prepare(self._queue.waiting[0])) is not None:
                outcome, why = problem
                entry = self._queue.give_up(outcome, why)
                if outcome is CommandOutcome.REFUSED:
                    self._went_wrong(f"the line '{entry.text}' was not sent: {why}")
                continue
            if not self._has_room(self._queue.waiting[0]):
                return
            if self._spoils:
                self._spoils = False
                self._give_own(Entry(None, self._clock(), SPOILER))
                return
            if self._numbers and self._number is None:
                self._number = 0
                self._give_own(Entry(None, self._clock(), numbered(FIRST, 0), number=0))
                return
            self._give(self._queue.give())

    # What stops and the device do to it.

    def fence(self, why: str) -> int:
        """Give up all lines: a stop ended their epoch. Returns how many waited."""
        self._queue.void_expected(VOID, self._take_alarm(), may_reply=True)
        return self._queue.void_waiting(CommandOutcome.FENCED, why)

    def flush(self, why: str) -> None:
        """Give up the lines that wait."""
        self._queue.void_waiting(CommandOutcome.FLUSHED, why)

    def overtaken(self, lines: int) -> None:
        """Note that so many urgent lines were written ahead of all, which get replies too."""
        size = sum(len(entry.wire) for entry in self._queue.given)
        is_begun = self._line.scheduler.waiting_of(self._source)[1] < size
        self._queue.overtaken(lines, cuts=is_begun)
        self._missing.expect()

    def machine_reset(self) -> None:
        """Note that the machine was reset: it greets, and answers nothing of before."""
        self._queue.void_expected(VOID, self._take_alarm(), may_reply=True)
        self._await_welcome()

    def device_lost(self, reason: str) -> None:
        """Give up all lines."""
        self._queue.void_expected(reason, may_reply=False)
        self._queue.void_waiting(CommandOutcome.FAILED, reason)
        self._missing.rest()

    def device_opened(self) -> None:
        """Wait for a machine that opening its port may have reset."""
        self._number = None
        self._await_welcome(ends_at_report=True)

    # What the device says.

    def heard(self, data: bytes, now: float) -> bytes:
        """Take bytes of the device; returns what of them is no reply to a line of the session."""
        passed = bytearray()
        self._missing.alive(now)
        for part in self._replies.feed(data):
            passed += self._said(part, now) if isinstance(part, Said) else part
        self._line.write_progressed()  # which pumps, and gives credit
        return bytes(passed)

    def _said(self, said: Said, now: float) -> bytes:
        """Act on a line of the device; returns what passes of a reply."""
        kind, text = said.kind, said.text
        if kind in (Kind.OK, Kind.ERROR):
            return self._replied(kind, text)
        if kind is Kind.COMPLAINT:
            self._complained(text)
        elif kind is Kind.RESEND:
            self._asked_again(text)
        elif kind is Kind.WELCOME:
            self._greeted()
        elif kind is Kind.ALARM:
            self._alarmed(text)
        elif kind is Kind.BUILD:
            self._line.firmware.has_buffer(build_buffer_bytes(text))
        elif kind is Kind.BUSY:
            self._missing.busy(now)
        elif kind is Kind.MESSAGE:
            self._readiness.said(text)
        else:
            self._reported(kind, text, now)
        return b""

    def _replied(self, kind: Kind, text: bytes) -> bytes:
        self._missing.replied()
        if self._awaits_ok:
            again, self._awaits_ok = self._awaits_ok == "again", ""
            if again:
                self._send_again()
            return b""
        head = self._queue.expected[0]
        if isinstance(head, Stray):
            self._queue.next_reply()
            return text + b"\n" if head is Stray.OVERTOOK else b""
        named = answered_number(text) if head.number is not None else None
        if named not in (None, head.number):
            return b""  # of a line that was answered before
        self._queue.next_reply()
        self._answered(head, kind, text.decode("latin-1"))
        return b""

    def _answered(self, entry: Entry, kind: Kind, reply: str) -> None:
        self._alarm = ""
        rejected = kind is Kind.ERROR or bool(entry.complaint)
        outcome = CommandOutcome.REJECTED if rejected else CommandOutcome.ANSWERED
        reply = entry.complaint or reply
        if self._readiness.resets_itself():
            self._await_welcome()
        if rejected and not self._choice.continues and entry.wire != SPOILER:  # the byte first
            self._errors.rejected(f"the firmware replied '{reply}' to the line '{entry.text}'")
        self._queue.finish(entry, outcome, reply=reply)

    def _complained(self, text: bytes) -> None:
        if self._queue.expected and isinstance(head := self._queue.expected[0], Entry):
            head.complain(text.decode("latin-1"))

    def _asked_again(self, text: bytes) -> None:
        head, number = self._queue.expected[0], asked_number(text)
        is_ours = isinstance(head, Entry) and head.number is not None and head.number == number
        if not is_ours or not isinstance(head, Entry):
            self._awaits_ok = "skip"
            self._errors.hold(f"the firmware asks again for a line that is not due: {text!r}")
        elif head.times_sent > MOST_RESENDS:
            self._awaits_ok = "again"
            self._errors.hold(f"the line '{head.text}' arrived damaged {head.times_sent} times")
        elif text[:2].lower() == b"rs":
            self._send_again()
        else:
            head.complain("")  # that was of what arrived damaged
            self._awaits_ok = "again"

    def _send_again(self) -> None:
        if (entry := self._queue.give_again()) is not None:
            self._give(entry)

    def _greeted(self) -> None:
        self._number, self._spoils = None, False
        self._awaits_ok = ""
        if self._readiness.greeted():
            self._queue.drop_strays()
            return
        queue = self._queue
        is_running = bool(queue.waiting or queue.given or queue.is_owed)
        why, given = "the machine reset itself", self._line.scheduler.drop(self._source)
        self._queue.take_back(why, is_begun=bool(given) and given[0].written_bytes > 0)
        self._queue.void_expected(why, self._take_alarm(), may_reply=False)
        if is_running:
            self._errors.hold(f"{why}: it sent its banner although no reset was requested")

    def _alarmed(self, text: bytes) -> None:
        self._alarm = text.decode("latin-1")
        queue = self._queue
        is_running = bool(queue.waiting or queue.given or queue.is_owed)
        # A reset during motion raises one too: whoever asked for the reset knows.
        if is_running and not self._readiness.awaits_welcome:
            head = self._queue.expected[0] if self._queue.expected else None
            at = f" with the line '{head.text}' unanswered" if isinstance(head, Entry) else ""
            self._errors.hold(f"the machine raised {self._alarm}{at}")

    def _reported(self, kind: Kind, text: bytes, now: float) -> None:
        if self._readiness.reported(text):
            self._queue.drop_strays()
        if not self._queue.expected and not self._queue.given and kind is Kind.REPORT:
            self._line.firmware.has_buffer(idle_buffer_bytes(text))
        self._missing.reported(text, self.buffer_bytes, now)

    # Writing.

    @property
    def _numbers(self) -> bool:
        return self._choice.checksums and self._rules.numbers

    def _may_give(self) -> bool:
        entry = self._queue.waiting[0]
        is_current = entry.command is None or entry.command.epoch == self._line.latch.epoch
        if self._source.is_held or not is_current or not self._line.is_open:
            return False
        waits = self._readiness.waits or bool(self._awaits_ok)
        return not waits and not self._queue.has_strays and not self._queue.has_one_alone

    def _prepare(self, entry: Entry) -> tuple[CommandOutcome, str] | None:
        """Make a line ready; or return what becomes of one that cannot be written."""
        if entry.command is None or entry.wire:
            return None
        most = self.buffer_bytes
        wire, why_not = wire_of(entry.command.data, self._line.profile, most)
        if why_not:
            return CommandOutcome.REFUSED, why_not
        if not self._rules.buffer_bytes and not bare(wire):
            return CommandOutcome.ANSWERED, _NOTHING
        entry.prepare(wire, alone=bool(most) and goes_alone(wire))
        return None

    def _has_room(self, entry: Entry) -> bool:
        queue, most = self._queue, self.buffer_bytes
        is_free = not queue.given and not queue.expected
        if not most or entry.goes_alone or is_free:
            return is_free and self._line.scheduler.has_room(len(entry.wire))
        fits = queue.held_bytes + len(entry.wire) <= most
        return fits and self._line.scheduler.has_room(len(entry.wire))

    def _give_own(self, entry: Entry) -> None:
        self._queue.give_own(entry)
        self._submit(entry, 0, Priority.NORMAL)

    def _give(self, entry: Entry) -> None:
        if self._numbers and entry.number is None and self._number is not None:
            self._number += 1
            entry.count(self._number)
        command = entry.command
        self._submit(entry, command.id if command else 0, command.priority if command else None)

    def _submit(self, entry: Entry, command_id: int, priority: Priority | None) -> None:
        entry.sent()
        self._line.submit(self._source, command_id, priority, entry.wire)

    # Waiting.

    def _went_wrong(self, reason: str) -> None:
        if not self._choice.continues:
            self._errors.hold(reason)

    def _take_alarm(self) -> str:
        alarm, self._alarm = self._alarm, ""
        return alarm

    def _await_welcome(self, *, ends_at_report: bool = False) -> None:
        self._readiness.was_reset(ends_at_report=ends_at_report)
        self._missing.expect()

    def _look(self, now: float) -> bool:
        """Look at what is awaited for too long; returns whether anything is awaited."""
        if self._readiness.gives_up(now):
            self._queue.drop_strays()
            self.pump()
        if why := self._missing.why_lost(now):
            is_owed = self._queue.is_owed
            self._queue.void_expected(why, may_reply=False)
            if is_owed:
                self._errors.hold(why)
            self.pump()
        if self._readiness.awaits_rest:
            self._missing.ask()
        return self._readiness.waits or bool(self._queue.expected)
