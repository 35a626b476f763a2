"""Lines for a service that delivers them as fast as the firmware takes them: bounded, in order.

A line is kept until its result has come, so that a session that is taken up goes on with the line
that the service has not got, and no line is sent twice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from usbshare.base.time_stats import TimeStats
from usbshare.client.serial.messages import (
    Goodbye,
    Message,
    ResultEvent,
    SendCommand,
    Waiting,
)
from usbshare.client.serial.outgoing_messages import UrgentMessages
from usbshare.client.serial.realtime_lane import RealtimeLane, in_messages
from usbshare.client.serial.send_window import SendWindow
from usbshare.line.credit import Credit
from usbshare.line.profiles import RAW, Profile

MOST_WAITING_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number, which rises over all sessions, and the epoch it was written in."""

    number: int
    data: bytes
    epoch: int
    after_reset: int


class LineUpstream:
    """Orders one program's lines for one session after another; see `Outgoing`.

    Nothing here waits. `results` counts the results that came in this session.
    """

    def __init__(self) -> None:
        self.window = SendWindow()
        self.waited = TimeStats()
        self.results = 0
        self._urgent = UrgentMessages()
        self._waiting: deque[Line] = deque()
        self._sent: deque[Line] = deque()
        self._lost: list[Line] = []
        self._waiting_bytes = 0
        self._number = 0
        self._reset_number = 0
        self._lane = RealtimeLane()
        self._is_down = True
        self._says_goodbye = False
        self._profile = RAW
        self._epoch = 0
        self._credit = Credit(0, 0, 0)
        self._sent_offset = self._sent_commands = 0

    # What a program adds.

    @property
    def has_room(self) -> bool:
        """Whether another line may be added."""
        return self._waiting_bytes < MOST_WAITING_BYTES

    @property
    def unanswered(self) -> int:
        """How many lines have no result yet."""
        return len(self._waiting) + len(self._sent)

    def add(self, data: bytes) -> int:
        """Add a line with its end; returns its number."""
        self._number += 1
        self._waiting.append(Line(self._number, data, self._epoch, self._reset_number))
        self._waiting_bytes += len(data)
        return self._number

    def add_realtime(self, data: bytes) -> bool:
        """Send real-time bytes ahead of all lines; False while there is no link: they come late."""
        if self._is_down:
            return False
        units = self._lane.number(self._profile.pieces(data, 1), self._epoch)
        resets = [unit.number for unit in units if self._profile.resets(unit.data)]
        self._reset_number = max(resets, default=self._reset_number)
        self._urgent.extend(in_messages(units))
        return True

    def answer(self, event: ResultEvent) -> Line | None:
        """Take the result of the oldest line that has none; None if it is no line's of ours."""
        if not self._sent or self._sent[0].number != event.id:
            return None
        self.results += 1
        return self._sent.popleft()

    def take_lost(self) -> list[Line]:
        """Return the lines that will have no result, since their session is gone."""
        lost, self._lost = self._lost, []
        return lost

    def port_changed(self, *, epoch: int, profile: Profile) -> None:
        """Follow the port; the service refuses what was written in an older epoch."""
        self._epoch, self._profile = epoch, profile

    # What a link asks for.

    def begin(self, *, epoch: int, profile: Profile) -> None:
        """Start a session: offsets and credit count from 0 again."""
        self._urgent.clear()
        self._lane.begin()
        self._reset_number = self.results = 0
        self._credit = Credit(0, 0, 0)
        self._go_on(0, 0, epoch, profile)

    def lose_link(self) -> None:
        """Keep all lines; real-time bytes have their time."""
        self._is_down = True
        self._lane.lost(self._profile)
        self._urgent.put_realtime(())
        self._urgent.drop_signs_of_life()

    def can_resume(self, accepted_offset: int) -> bool:
        """Return whether we can send what follows there."""
        return self._first_offset <= accepted_offset <= self._sent_offset

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
        """Go on with a session that has the lines before the offset; the rest goes again.

        Returns how many bytes that is. What waits, `age_s` at most, is told before it goes.
        """
        self._lane.lost(self._profile)
        self._urgent.put_realtime(())
        again, offset = 0, self._sent_offset
        while self._sent and offset > accepted_offset:
            line = self._sent.pop()
            offset -= len(line.data)
            again += len(line.data)
            self._waiting.appendleft(line)
        self._waiting_bytes += again
        self._go_on(accepted_offset, accepted_commands, epoch, profile)
        self._urgent.append(Waiting(self._waiting_bytes, age_s))
        return again

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes sent whose fate is not known."""
        return self._sent_offset - self._credit.consumed_offset

    def lose(self) -> int:
        """Give up all lines; returns how many bytes."""
        lost = [*self._sent, *self._waiting]
        self._lost += lost
        self._sent.clear()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._sent_offset = self._credit.consumed_offset
        return sum(len(line.data) for line in lost)

    def pass_through(self, data: bytes, now: float) -> None:
        """Take nothing: lines wait for their turn."""
        del data, now

    def add_ordered(self, message: Goodbye) -> None:
        """Close the session after the lines that wait."""
        del message
        self._says_goodbye = True

    def add_urgent(self, message: Message) -> None:
        """Add a message that waits for nothing."""
        self._urgent.append(message)

    def realtime_confirmed(self, number: int) -> None:
        """Note that the service has the real-time bytes that were sent up to that number."""
        self._lane.confirmed(number)

    def wants_answer(self) -> bool:
        """Return, once until an answer, whether only the network keeps back what waits."""
        return bool(self._waiting) and self.window.asks(self._credit, self._sent_offset)

    def answered(self, operation_id: int) -> None:
        """Take no note: lines come without settings."""
        del operation_id

    def credit(self, credit: Credit) -> bool:
        """Take what the service grants; True if lines wait for it."""
        self._credit = credit
        return bool(self._waiting)

    def wait_s(self, now: float) -> float | None:
        """Return how many seconds until `take` has something; None if it waits for an event."""
        del now
        if self._urgent or self._may_send() or (self._says_goodbye and not self._waiting):
            return 0.0
        return None

    def take(self, now: float) -> Message:
        """Return the next message; only when `wait_s` said 0."""
        del now
        if self._urgent:
            return self._urgent.popleft()
        if not self._waiting:
            self._says_goodbye = False
            return Goodbye()
        line = self._waiting.popleft()
        self._waiting_bytes -= len(line.data)
        self._sent.append(line)
        offset = self._sent_offset
        self._sent_offset += len(line.data)
        self._sent_commands += 1
        return SendCommand(line.number, offset, line.data, line.epoch, None, line.after_reset)

    # Helpers.

    @property
    def _first_offset(self) -> int:
        """The offset of the oldest line that has no result."""
        return self._sent_offset - sum(len(line.data) for line in self._sent)

    def _go_on(self, offset: int, commands: int, epoch: int, profile: Profile) -> None:
        self._epoch, self._profile = epoch, profile
        self._sent_offset, self._sent_commands = offset, commands
        self._is_down = False

    def _may_send(self) -> bool:
        if not self._waiting or self._sent_commands >= self._credit.limit_commands:
            return False
        room = self.window.room_bytes(self._credit, self._sent_offset)
        # A line goes whole; one that is longer than the network's window goes alone.
        return room >= len(self._waiting[0].data) or (room > 0 and not self.unconsumed_bytes)
