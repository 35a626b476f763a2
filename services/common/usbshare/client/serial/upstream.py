"""What the program wrote and the service has no credit for yet: bounded, in order.

Nothing here waits. Real-time bytes leave the program's as they come. What is sent is kept a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from usbshare.base.gather import LARGEST_CHUNK_BYTES, Gatherer
from usbshare.base.time_stats import TimeStats
from usbshare.client.serial.in_flight import InFlight
from usbshare.client.serial.late_bytes import Backlog
from usbshare.client.serial.messages import (
    Configure,
    Flush,
    Goodbye,
    HoldBreak,
    Lost,
    Message,
    ResultEvent,
    SendCommand,
    Waiting,
)
from usbshare.client.serial.outgoing_messages import OrderedMessages, WholeLine
from usbshare.client.serial.program_line import LineStart
from usbshare.client.serial.program_waits import ProgramWaits
from usbshare.client.serial.realtime_lane import Overtaking
from usbshare.client.serial.send_window import SendWindow
from usbshare.client.serial.urgent_queue import UrgentQueue
from usbshare.line.credit import Credit
from usbshare.line.profiles import RAW, Profile
from usbshare.line.program_runs import ProgramRuns, Untouched

READ_AHEAD_BYTES = 4096
_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less


class Upstream:
    """Orders one program's bytes and requests for one session after another.

    `voided_bytes` is what the last `begin` or `resume` dropped because a stop had ended its epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.window = SendWindow()
        self.results = 0
        self._urgent = UrgentQueue()
        self._ordered = OrderedMessages()
        self._line = LineStart()
        self._is_down = False
        self._emergencies = 0
        self._backlog = Backlog(clock)
        self._comes_late = self._emergencies_are_late = self._must_tell = False
        self._in_flight = InFlight()
        self._runs = ProgramRuns(clock)
        self._waits = ProgramWaits(clock)
        self._answered_id = 0
        self.untold_loss = 0
        self._profile = RAW
        self._epoch = 0
        self.begin(epoch=0, profile=RAW)

    def begin(self, *, epoch: int, profile: Profile) -> None:
        """Start a session: offsets and credit count from 0 again.

        What the program wrote in another epoch is void.
        """
        self._urgent.begin()
        self._in_flight.clear()
        self._credit = Credit(0, 0, 0)
        self._void_offset: int | None = None
        self._backlog.end()
        self._go_on(0, 0, epoch, profile)
        if self.untold_loss:
            self._urgent.append(Lost(self.untold_loss))

    def lose_link(self) -> None:
        """Keep everything for `resume` but what has its time: polls, overrides, signs of life.

        Emergency bytes wait for `take_emergency`, not for the link: they are not kept either.
        """
        self._is_down = True
        self._emergencies_are_late = self._emergencies > 0
        self._urgent.lose_link(self._profile)
        self._ordered.drop_breaks()

    def can_resume(self, accepted_offset: int) -> bool:
        """Return whether we can send what follows there."""
        return self._credit.consumed_offset <= accepted_offset <= self._sent_offset

    def has_sent(self, accepted_offset: int, epoch: int) -> bool:
        """Return whether what was sent ends there, in this epoch: then nothing is to be resumed."""
        return accepted_offset == self._sent_offset and epoch == self._epoch

    def resume(
        self,
        accepted_offset: int,
        accepted_commands: int,
        *,
        epoch: int,
        profile: Profile,
        age_s: float = 0.0,
    ) -> int:
        """Go on with a session that has what was sent before the offset; the rest goes again.

        Returns how many bytes that is. What waits, `age_s` at most, is reported before it is sent.
        Real-time bytes that waited are dropped: one that stops or starts a machine must not come
        late.
        """
        again = self._in_flight.beyond(accepted_offset)
        self._in_flight.clear()
        self._urgent.resume(self._profile)
        size = self._put_back(again, profile)
        is_void = epoch != self._epoch
        was_down = self._is_down
        self._go_on(accepted_offset, accepted_commands, epoch, profile)
        if self._void_offset is not None and accepted_offset <= self._void_offset:
            self._void_offset = accepted_offset
            self._urgent.append(Flush(0, received=False, written=True))
        self._urgent.append(Waiting(self._ordered.program_bytes, age_s))
        if was_down:
            self._backlog.begin(self.room, age_s)
        return 0 if is_void else size

    @property
    def dropped_realtime_bytes(self) -> int:
        """Real-time bytes that came at the wrong time to be sent."""
        return self._urgent.dropped_bytes

    @property
    def waited(self) -> TimeStats:
        """How long the program's bytes had waited when they were sent."""
        return self._waits.stats

    @property
    def room(self) -> int:
        """How many more bytes of the program may be read now."""
        return max(0, READ_AHEAD_BYTES - self._ordered.program_bytes - self._urgent.realtime_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes read from the program and not sent."""
        return self._ordered.program_bytes

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes sent whose fate is not known."""
        return self._sent_offset - self._credit.consumed_offset

    def port_changed(self, *, epoch: int, profile: Profile) -> int:
        """Follow the port; what the program wrote in an older epoch is void. Returns how much."""
        self._profile = profile
        if epoch == self._epoch:
            return 0
        self._epoch = epoch
        self._in_flight.void()
        self._line.is_another()
        return self.discard()

    def lose(self) -> int:
        """Give up what was sent and not consumed, and what waits; returns how many bytes.

        Of a G-code program the rest of a line so cut is void too, as it comes.
        """
        in_doubt = self.unconsumed_bytes + self.discard()
        self.untold_loss += in_doubt
        self._sent_offset = self._credit.consumed_offset
        self._in_flight.clear()
        self._line.lost(cuts=in_doubt > 0 and self._profile.speaks_gcode)
        return in_doubt

    def loss_is_known(self) -> None:
        """Note that the service refuses programs: it knows of what was lost."""
        self.untold_loss = 0

    def program_came(self) -> None:
        """Begin at the start of a line: a new program does not end that of the one before."""
        self._line.begin()

    def add_program(self, data: bytes) -> None:
        """Take bytes that the program wrote, perhaps while the link was away."""
        self._comes_late = self._backlog.comes(len(data), self.room)
        self._must_tell &= self._comes_late
        for run in self._runs.runs(self._profile, data):
            if isinstance(run, Untouched):
                self._add(run)
                continue
            split = self._profile.split(run, at_line_start=self._line.is_here)
            if split.reset:
                self.void()
            self._add_realtime(split.realtime)
            self._add(split.program)

    def _add(self, data: bytes) -> None:
        """Let program bytes wait, in a separate run if they are to pass untouched."""
        program = self._line.rest(data)
        if not program:
            return
        self._ordered.add(program)
        self._waits.came(len(program))
        self._line.passed(program)
        if self._must_tell:
            self._tell_waiting()

    def pass_through(self, data: bytes, now: float) -> SendCommand | None:
        """Return the program's bytes as a message if they may go at once and nothing waits.

        None takes nothing: they are for `add_program`.
        """
        if self._ordered or self._urgent or self._line.skips or self._emergencies:
            return None
        if len(data) > self._allowed() or self._backlog.is_unread:
            return None
        if not (data.endswith(b"\n") or self._gatherer.is_due(data)):
            return None
        if self._runs.must_look(self._profile, data):
            return None
        self._runs.passed(data)
        self._line.passed(data)
        self._waits.passed(now)
        return self._command(data, now)

    def add_ordered(self, message: Configure | HoldBreak | Goodbye) -> None:
        """Add a request that must come after the bytes before it; the last settings count."""
        last = self._ordered[-1] if self._ordered else None
        if isinstance(last, Configure) and isinstance(message, Configure):
            self._ordered.pop()
        self._ordered.append(message)

    def add_first(self, message: Configure) -> None:
        """Add settings that must be in force before the bytes that wait already."""
        self._ordered.appendleft(message)

    def add_urgent(self, message: Message) -> None:
        """Add a message that waits for nothing."""
        self._urgent.append(message)

    def take_emergency(self) -> Overtaking | None:
        """Take the stops that could not leave at once, for another way to the machine.

        What stands before them goes along. If there are any, what the program writes later waits
        until `emergency_done`.
        """
        stops = self._urgent.take_emergency(self._profile)
        if stops is not None:
            self._emergencies += 1
            self._emergencies_are_late |= self._is_down or self._comes_late
        return stops

    def emergency_done(self, delivered_number: int = 0) -> None:
        """Let the program's bytes go on after a `take_emergency` that returned something."""
        self._emergencies -= 1
        self._urgent.confirmed(delivered_number)
        if self._emergencies_are_late and not self._emergencies:
            self._emergencies_are_late = False
            self._tell_waiting()

    def realtime_confirmed(self, number: int) -> None:
        """Note that the service has the real-time bytes that were sent up to that number."""
        self._urgent.confirmed(number)

    def result(self, event: ResultEvent) -> None:
        """Take no note of what became of a command: credit tells what is consumed."""

    def wants_answer(self) -> bool:
        """Return, once until an answer, whether only the network keeps back what waits."""
        return self.waiting_bytes > 0 and self.window.asks(self._credit, self._sent_offset)

    def answered(self, operation_id: int) -> None:
        """Note that settings need not be sent again."""
        self._answered_id = max(self._answered_id, operation_id)

    def void(self) -> int:
        """Drop the program's bytes, sent or not: it does not want them; returns those not sent.

        After a loss that is sent again, unless the service has bytes that came after them.
        """
        self._in_flight.void()
        self._void_offset = self._sent_offset
        self._line.begin()
        return self.discard()

    def discard(self) -> int:
        """Drop the program's bytes that have not been sent; returns how many."""
        self._waits.clear()
        return self._ordered.drop_program()

    def credit(self, credit: Credit) -> bool:
        """Take what the service grants; True if bytes wait for it."""
        self._credit = credit
        self._gatherer.acknowledged(credit.consumed_offset)
        self._in_flight.consumed(credit.consumed_offset)
        return self._ordered.program_bytes > 0

    def wait_s(self, now: float) -> float | None:
        """Return how long until `take` has something; 0 for now, None for until something comes."""
        if self._urgent.has_next(realtime=not self._emergencies):
            return 0.0
        if not self._ordered or self._emergencies:
            return None
        head = self._ordered[0]
        if not isinstance(head, bytearray):
            return 0.0
        allowed = self._allowed()
        if allowed <= 0:
            return None
        return self._program_wait_s(head, allowed, now)

    def take(self, now: float) -> Message:
        """Return the next message; only when `wait_s` said 0."""
        message = self._urgent.take(self._profile, realtime=not self._emergencies)
        if message is not None:
            return message
        head = self._ordered[0]
        if not isinstance(head, bytearray):
            self._ordered.popleft()
            if isinstance(head, Configure):
                self._in_flight.configured(self._sent_offset, head)
            return head
        return self._take_program(head, now)

    def _go_on(self, offset: int, commands: int, epoch: int, profile: Profile) -> None:
        self.voided_bytes = self.discard() if epoch != self._epoch else 0
        self._epoch = epoch
        self._profile = profile
        self._sent_offset = offset
        self._sent_commands = commands
        self._gatherer = Gatherer()
        self._is_down = False

    def _put_back(self, again: list[bytes | Configure], profile: Profile) -> int:
        """Put what must be sent again before what waits; returns how many bytes."""
        self._waits.clear()
        size = 0
        for item in reversed(again):
            if isinstance(item, Configure):
                if item.id > self._answered_id:
                    self._ordered.appendleft(item)
                continue
            # The profile may have been recognised since: what is a real-time byte now is stale.
            data = item
            if profile is not self._profile and not isinstance(item, Untouched | WholeLine):
                data = ProgramRuns().split(profile, item).program
            self._urgent.dropped(len(item) - len(data))
            if data:
                self._ordered.add_first(data)
            size += len(data)
        return size

    def _add_realtime(self, realtime: bytes) -> None:
        is_late = self._is_down or self._comes_late
        resets = self._urgent.add(realtime, self._epoch, self._profile, is_late=is_late)
        if self._comes_late and resets:
            self._must_tell = True

    def _tell_waiting(self) -> None:
        """Let what waits need a person, though a reset of the time away has let it go."""
        self._must_tell = False
        if self._ordered.program_bytes and not self._is_down:
            self._urgent.append(Waiting(self._ordered.program_bytes, self._backlog.age_s))

    def _program_wait_s(self, run: bytearray, allowed: int, now: float) -> float | None:
        """Return how long to gather more of a run of which so many bytes may go."""
        whole = len(run) >= allowed or len(self._ordered) > 1
        return 0.0 if whole else self._gatherer.wait_s(run, now)

    def _allowed(self) -> int:
        if self._sent_commands >= self._credit.limit_commands:
            return 0
        return min(LARGEST_CHUNK_BYTES, self.window.room_bytes(self._credit, self._sent_offset))

    def _take_program(self, run: bytearray, now: float) -> SendCommand:
        data = self._ordered.take(run, self._allowed())
        self._waits.left(len(data), now)
        return self._command(data, now)

    def _command(self, data: bytes, now: float) -> SendCommand:
        offset = self._sent_offset
        self._sent_offset = offset + len(data)
        self._sent_commands += 1
        self._gatherer.sent(self._sent_offset, now)
        self._in_flight.append((self._sent_offset, data))
        after_reset = self._urgent.reset_number
        fields = (self._sent_commands, offset, data, self._epoch, None, after_reset)
        return _new_tuple(SendCommand, fields)
