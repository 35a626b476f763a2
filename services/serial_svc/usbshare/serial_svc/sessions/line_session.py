"""A session whose commands are lines, delivered by the firmware's own flow control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.credit import LONGEST_ROUND_TRIP_S
from usbshare.line.flow.gcode_line import is_one_line
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.scheduler import CommandOutcome, Queued
from usbshare.serial_svc.sessions.audit import SessionAudit
from usbshare.serial_svc.sessions.client import (
    LARGEST_COMMAND_BYTES,
    Client,
    Command,
    LineChoice,
    Resumption,
    malformed,
)
from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import CommandResult, Opened
from usbshare.serial_svc.sessions.ledger import Ledger
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.sessions.line_outbox import LineOutbox
from usbshare.serial_svc.sessions.observer_outbox import Tail
from usbshare.serial_svc.sessions.session import DROPPED, Session, SessionOwner
from usbshare.serial_svc.stop.fence import FENCED
from usbshare.serial_svc.stop.stops import Stops

MOST_LINES = 1024
LEAST_WINDOW_BYTES, MOST_WINDOW_BYTES = 4096, 64 * 1024
# The host keeps the machine busy for so long while the link stands still.
WINDOW_S = 2.0


class LineSession(Session):
    """As a session, but that each command is one line, and answered once it is replied to."""

    def __init__(
        self,
        client: Client,
        choice: LineChoice,
        line: Line,
        stops: Stops,
        owner: SessionOwner,
        tail: Tail,
        audit: SessionAudit,
        clock: Callable[[], float],
    ) -> None:
        self.lines: LineDelivery = LineDelivery(
            self, line, choice, stops.line_errors, self._tell, clock
        )
        self._choice = choice
        start = line.hold_back.release, line.read_offset
        self._line_outbox = LineOutbox(*start, self.lines.heard, line.counters.send_time)
        super().__init__(client, line, stops, owner, tail, audit, clock)
        self._ledger = Ledger(MOST_LINES)

    async def command(self, command: Command) -> None:
        """Queue a line; waits while the queue is full.

        InvalidArgumentError for what is not a line.
        """
        size = len(command.data)
        if not 1 <= size <= LARGEST_COMMAND_BYTES or command.offset != self._ledger.received_offset:
            raise malformed(command, self._ledger.received_offset)
        if not is_one_line(command.data):
            raise InvalidArgumentError(
                "command.data is not one line that ends in LF: with "
                "DELIVERY_FIRMWARE_FLOW_CONTROL each command must be one"
            )
        self._ledger.receive(size)
        self._sending.sent(command.data)
        self._line.firmware.wrote(command.data)
        await self._queue(command)

    def resume(self, opened: Opened, resumption: Resumption) -> bool:
        """Take the client up again, with the results that it does not have."""
        if not self._line_outbox.keeps_results_from(resumption.results):
            return False
        if not super().resume(opened, resumption):
            return False
        self._line_outbox.tell_results_from(resumption.results)
        return True

    def release(self) -> None:
        """Let what is queued go out."""
        was_held = self.is_held
        super().release()
        if was_held:
            self.lines.released()

    # What the port tells.

    def finish(self, command: Queued, outcome: CommandOutcome, now: float, why: str = "") -> None:
        """Note what became of a line that was given to the serial line."""
        self.lines.done(command, outcome, now, why)

    def fence(self) -> int:
        """Drop all lines: a stop ended their epoch. Returns how many waited."""
        fenced = self.lines.fence(FENCED)
        behind = self._held.drop_commands()
        for command in behind:
            self._refuse(command, CommandOutcome.FENCED, FENCED)
        self._line.write_progressed()
        return fenced + len(behind)

    def void_queue(self) -> None:
        """Drop all lines that are not written: a reset byte made them void."""
        for queued in self._line.scheduler.drop(self):
            self.finish(queued, CommandOutcome.FLUSHED, self._clock(), DROPPED)
        self.flush_queue()

    def flush_queue(self) -> None:
        """Drop the lines that wait; what was given to the serial line is not cut in two."""
        self.lines.flush(DROPPED)
        for command in self._held.drop_commands():
            self._refuse(command, CommandOutcome.FLUSHED, DROPPED)
        self._line.write_progressed()

    def progressed(self) -> None:
        """Go on, and give credit if it is due."""
        super().progressed()
        self.lines.pump()

    def line_changed(self) -> None:
        """Note that the line's rate changed, which sizes the window."""
        round_trip_s = min(max(self._round_trip_s, 0.0), LONGEST_ROUND_TRIP_S)
        window = int(self._line.pacer.bytes_per_s * (WINDOW_S + round_trip_s))
        self._window = min(MOST_WINDOW_BYTES, max(LEAST_WINDOW_BYTES, window))

    def waiting(self) -> tuple[int, int]:
        """Return how many commands and bytes were received and have not left."""
        commands, size = self._line.scheduler.waiting_of(self)
        lines, line_bytes = self.lines.waiting()
        behind = [command.data for command in self._held.commands]
        return commands + lines + len(behind), size + line_bytes + sum(map(len, behind))

    # Helpers.

    def _make_outbox(self, line: Line) -> ControlOutbox:
        del line
        return self._line_outbox

    def _tell(self, result: CommandResult) -> None:
        self.outbox.put(result)

    async def _queue(self, command: Command) -> None:
        try:
            await self._until(lambda: self.waiting()[0] < MOST_LINES)
        except asyncio.CancelledError:  # the stream is gone, but the client knows it as accepted
            if not self._ended:
                self._held.append(command)
            raise
        if self._held:
            self._held.append(command)
        else:
            self._enqueue(command)

    def _enqueue(self, command: Command) -> None:
        if self._ended:
            return
        if refusal := self._refusal(command):
            self._refuse(command, *refusal)
            self.progressed()
        else:
            self.lines.add(command)
            self._line.write_progressed()  # which tells how full the queue is

    def _refuse(self, command: Command, outcome: CommandOutcome, why: str) -> None:
        self._line.counters.failed(1)
        self.lines.refuse(command, outcome, why)

    def _has_left(self) -> bool:
        return not self._held and not self.lines.is_busy

    def _end(self, *, said_goodbye: bool) -> None:
        super()._end(said_goodbye=said_goodbye)
        self.lines.end()
