"""A program's lines on their way to a session that delivers them by the firmware's flow control."""

from __future__ import annotations

import time
from collections.abc import Callable

from usbshare.bridge.buffered.early_answers import EarlyAnswers, Outcome
from usbshare.client.serial.messages import ResultEvent, SendCommand
from usbshare.client.serial.outgoing_messages import WholeLine
from usbshare.client.serial.upstream import Upstream
from usbshare.line.profiles import Profile

_OUTCOMES = {"answered": Outcome.ANSWERED, "rejected": Outcome.REJECTED, "refused": Outcome.REFUSED}


class BufferedUpstream(Upstream):
    """Sends lines whole, each when `answers` lets it go; `result` brings what became of them.

    Real-time bytes, stops and a lost link are as for any other program.
    """

    def __init__(self, answers: EarlyAnswers, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers = answers
        self._void_commands = 0
        super().__init__(clock)

    def begin(self, *, epoch: int, profile: Profile) -> None:
        """Start a session: results count from 0 again."""
        super().begin(epoch=epoch, profile=profile)
        self.results = 0
        self._forget_lines()

    def resume(
        self,
        accepted_offset: int,
        accepted_commands: int,
        *,
        epoch: int,
        profile: Profile,
        age_s: float = 0.0,
    ) -> int:
        """Go on with a session; the numbers of lines that it never had are given again."""
        again = super().resume(
            accepted_offset, accepted_commands, epoch=epoch, profile=profile, age_s=age_s
        )
        self._void_commands = min(self._void_commands, accepted_commands)
        return again

    @property
    def room(self) -> int:
        """How many more bytes of the program may be read now."""
        return self._answers.room

    @property
    def waiting_bytes(self) -> int:
        """Bytes read from the program and not sent."""
        return super().waiting_bytes + self._answers.unsent_bytes

    def pass_through(self, data: bytes, now: float) -> SendCommand | None:
        """Take nothing: every line has its turn."""
        del data, now
        return None

    def discard(self) -> int:
        """Drop the program's lines; returns how many bytes of them were not sent."""
        return super().discard() + self._forget_lines()

    def result(self, event: ResultEvent) -> None:
        """Take what became of a line; those of lines that are void answer nothing."""
        self.results += 1
        if event.id <= self._void_commands:
            return
        outcome = _OUTCOMES.get(event.outcome, Outcome.VOID)
        reply = event.reply if outcome is not Outcome.REFUSED else event.message
        self._answers.done(outcome, reply.encode(errors="replace"))
        self._feed()

    def _add(self, data: bytes) -> None:
        if program := self._line.rest(data):
            self._line.passed(program)
            self._answers.program_wrote(program)
            self._feed()
            if self._must_tell:
                self._tell_waiting()

    def _feed(self) -> None:
        while (line := self._answers.take()) is not None:
            self._ordered.add(WholeLine(line))
            self._waits.came(len(line))

    def _forget_lines(self) -> int:
        self._void_commands = self._sent_commands
        return self._answers.void()

    def _program_wait_s(self, run: bytearray, allowed: int, now: float) -> float | None:
        del now
        # A line goes whole; one that is longer than the network's window goes alone.
        return 0.0 if allowed >= len(run) or not self.unconsumed_bytes else None
