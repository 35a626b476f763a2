"""One client's stream on one port: what it sends is checked, ordered, queued and answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from usbshare.base.errors import UsbshareError
from usbshare.line.client_times import ClientTimes
from usbshare.line.credit import Credit, window_bytes
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.scheduler import CommandOutcome, Ordering, Queued
from usbshare.serial_svc.sessions.attachment import Attachment
from usbshare.serial_svc.sessions.audit import SessionAudit
from usbshare.serial_svc.sessions.client import (
    LARGEST_COMMAND_BYTES,
    OBSERVES,
    Client,
    Command,
    Holder,
    Mode,
    Resumption,
    malformed,
)
from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import (
    CommandResult,
    HeartbeatReply,
    Opened,
    SessionEvent,
)
from usbshare.serial_svc.sessions.hearing import Hearing
from usbshare.serial_svc.sessions.ledger import Ledger
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.sessions.observer_outbox import ObserverOutbox, Tail
from usbshare.serial_svc.sessions.operation_queue import OperationQueue
from usbshare.serial_svc.sessions.outbox import Outbox
from usbshare.serial_svc.sessions.own_realtime import OwnRealtime
from usbshare.serial_svc.stop import report_requests
from usbshare.serial_svc.stop.fence import FENCED
from usbshare.serial_svc.stop.stops import Stops

RESET = "its program wrote a reset after it"
DROPPED = "dropped by its own session"
CLOSE_TIMEOUT_S = 10.0


class SessionOwner(Protocol):
    """Receives the loss of a session's stream and its end."""

    def stream_lost(self, session: Session) -> None:
        """Decide what happens to a session that has lost its stream."""

    def session_failed(self, session: Session, why: str) -> None:
        """Note that its client broke the rules; the session is about to end."""

    def session_ended(self, session: Session, *, said_goodbye: bool) -> None:
        """Forget a session that has ended."""


class Session:
    """A client's conversation; made by Admission.open, ended by `close` or `end`.

    It outlives its stream: see `attach`, `stream_ended` and `resume`. `is_held` says whether its
    queue waits for a person. `realtime` takes the session's real-time bytes, `operations` what it
    asks of the line itself. `lines` are those of a session that streams lines, `client_times` what
    its client measured last.
    """

    lines: LineDelivery | None = None
    client_times: ClientTimes | None = None

    def __init__(
        self,
        client: Client,
        line: Line,
        stops: Stops,
        owner: SessionOwner,
        tail: Tail,
        audit: SessionAudit,
        clock: Callable[[], float],
    ) -> None:
        self.client = client
        self.token = secrets.token_urlsafe(16)
        self.is_held = False
        self._attachment: Attachment | None = None
        is_control = client.mode is Mode.CONTROL
        control = self._make_outbox(line) if is_control else None
        self.controlled = control
        self.outbox: Outbox = control or ObserverOutbox(tail)
        self.holder = Holder(
            client.session_id, client.identity, client.name, client.peer, datetime.now(UTC)
        )
        self._line = line
        self._lost_job = stops.lost_job
        self._machine = stops.machine
        self._owner = owner
        self._clock = clock
        self._sending = audit.sending(client)
        self.operations = self._held = OperationQueue(
            line.keeper.run,
            self._until_room,
            self._enqueue,
            line.write_progressed,
            self.outbox.put,
            is_allowed=is_control,
        )
        self._ledger = Ledger(line.scheduler.max_commands)
        self.realtime = OwnRealtime(client, self, line, stops.realtime, clock)
        self.hearing = Hearing(clock())
        self._round_trip_s = 0.0
        self._window = 0
        self._ended = False
        self.line_changed()

    # What the client sends.

    async def command(self, command: Command) -> None:
        """Write or queue a command, waiting while the queue is full; refusals are sent in band."""
        _, _, epoch, offset, data, after_reset = command
        size, ledger = len(data), self._ledger
        if not 1 <= size <= LARGEST_COMMAND_BYTES or offset != ledger.received_offset:
            raise malformed(command, ledger.received_offset)
        ledger.receive(size)
        if self.controlled:
            self._sending.sent(data)
            self._line.firmware.wrote(data)
        if after_reset != self.realtime.reset_number and self.realtime.is_void(after_reset):
            self._refuse(command, CommandOutcome.FLUSHED, RESET)
            self.progressed()
            return
        taken = 0
        if self.client.only_failures and self.controlled:
            taken = self._write_through(data, epoch)
        if taken == size:
            if ledger.is_due(0, 0):
                self.outbox.poke()
        elif taken:
            self._submit(command, taken)
        else:
            await self._queue(command)

    def heartbeat(
        self,
        beat_id: int,
        round_trip_s: float,
        heard_id: int | None = None,
        times: ClientTimes | None = None,
        read_at: float | None = None,
    ) -> None:
        """Answer a heartbeat, read at that monotonic time.

        The round trip sizes the credit window.
        """
        self._round_trip_s = round_trip_s
        self.client_times = times or self.client_times
        self.hearing.beat(beat_id, heard_id, round_trip_s, self._clock())
        self.line_changed()
        self.outbox.put(HeartbeatReply(beat_id, self.realtime.number, read_at))

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """End cleanly: after the queued commands, or after the timeout without them.

        After a resume, once the machine has said whether it continues.
        """
        if self.controlled:
            await self._idle(lambda: self.is_held or self._has_left(), timeout_s)
            if self._machine.awaits_resume:
                limit_s = report_requests.LIMIT_S
                await self._idle(lambda: not self._machine.awaits_resume, limit_s)
        self._end(said_goodbye=True)
        self.outbox.close()

    def end(self, why: str) -> None:
        """End without being closed: drop what was queued, since no person may be watching."""
        self._end(said_goodbye=False)
        self.detach(why)

    # Its stream.

    @property
    def is_attached(self) -> bool:
        """Whether there is a stream."""
        return self._attachment is not None

    def attach(self, pump: StreamPump[SessionEvent | None]) -> Attachment:
        """Talk over a stream from now on."""
        self._attachment = attachment = Attachment(pump)
        self.hearing.begin()
        self.outbox.attach(pump)
        return attachment

    def detach(self, why: str | UsbshareError) -> None:
        """End the stream, if there is one; the session waits for its client to come back."""
        attachment, self._attachment = self._attachment, None
        self.outbox.detach()
        if attachment is not None:
            attachment.end(why)

    def stream_ended(self, attachment: Attachment) -> None:
        """Note that a stream ended without a close; one that was replaced does not matter."""
        if attachment is self._attachment and not self._ended:
            self.detach("the stream ended")
            self._owner.stream_lost(self)

    def fail(self, why: str) -> None:
        """End a session whose client broke the rules; the machine is treated as after a loss."""
        if not self._ended:
            self._owner.session_failed(self, why)
            self.end(why)

    def resume(self, opened: Opened, resumption: Resumption) -> bool:
        """Take the client up again; False, and nothing changes, if something it lacks is gone."""
        offset = resumption.offset
        opened = replace(
            opened,
            resumed=True,
            data_offset=offset,
            accepted_offset=self._ledger.received_offset,
            accepted_commands=self._ledger.received_commands,
        )
        if not self.outbox.resume(opened, offset):
            return False
        self._ledger.tell_again()
        self.hearing.heard(self._clock())
        return True

    def hold(self) -> None:
        """Let nothing of what is queued go out."""
        self.is_held = True
        self._line.scheduler.hold(self)

    def release(self) -> None:
        """Let what is queued go out."""
        if self.is_held:
            self.is_held = False
            self._line.scheduler.release(self)
            self._line.writer.pump()

    # Events of the port.

    def finish(self, command: Queued, outcome: CommandOutcome, now: float, why: str = "") -> None:
        """Report what became of a command, if the client wants to know."""
        if outcome is CommandOutcome.WRITTEN and self.client.only_failures:
            return
        started_at = command.started_at if command.started_at is not None else now
        self.outbox.put(
            CommandResult(
                command.command_id,
                outcome,
                written_bytes=command.written_bytes,
                queue_time_s=started_at - command.queued_at,
                write_time_s=now - started_at,
                message=why,
            )
        )

    def fence(self) -> int:
        """Drop what waits behind an operation: a stop ended its epoch. Returns how many."""
        commands = self._held.drop_commands()
        for command in commands:
            self._refuse(command, CommandOutcome.FENCED, FENCED)
        return len(commands)

    def void_queue(self) -> None:
        """Drop what this session queued: a reset byte or a flush made it void."""
        now = self._clock()
        for queued in self._line.scheduler.drop(self):
            self.finish(queued, CommandOutcome.FLUSHED, now, DROPPED)
        for command in self._held.drop_commands():
            self._refuse(command, CommandOutcome.FLUSHED, DROPPED)
        self._line.write_progressed()

    def flush_queue(self) -> None:
        """Drop what this session queued, in the device's driver as well."""
        self.void_queue()
        self._line.writer.discard_program()
        self._line.writer.pump()

    def progressed(self) -> None:
        """Note that bytes left the queue, so that credit may be due."""
        if self._ledger.is_due(*self.waiting()):
            self.outbox.poke()

    def line_changed(self) -> None:
        """Note that the line's rate changed, which sizes the window."""
        rate = self._line.pacer.bytes_per_s
        window = window_bytes(rate, self._round_trip_s, self._line.scheduler.max_bytes)
        independent = self.client.ordering is Ordering.PRIORITY
        # A command that must not be cut fits whole; a program may be cut anywhere.
        self._window = max(window, LARGEST_COMMAND_BYTES) if independent else window

    def waiting(self) -> tuple[int, int]:
        """Return how many commands and bytes were received and have not left."""
        scheduler = self._line.scheduler
        if not self._held.items and not scheduler.commands:
            return 0, 0
        commands, size = scheduler.waiting_of(self)
        if self._held:
            held = [command.data for command in self._held.commands]
            return commands + len(held), size + sum(map(len, held))
        return commands, size

    def credit_due(self) -> Credit | None:
        """Return the credit to send with the next message, None if nothing changed."""
        return self._ledger.tell(*self.waiting(), self._window)

    # Helpers.

    def _make_outbox(self, line: Line) -> ControlOutbox:
        times = line.counters.send_time
        return ControlOutbox(line.hold_back.release, line.read_offset, times)

    def _write_through(self, data: bytes, epoch: int) -> int:
        """Write a program's bytes past the empty queue; returns how many the device took.

        0 where they must be queued, taken apart or refused instead.
        """
        line = self._line
        if self._held.items or self.is_held or self._ended:
            return 0
        if epoch != line.latch.epoch or self._lost_job.refuses or self.realtime.must_take_out(data):
            return 0
        return line.writer.write_through(data)

    async def _queue(self, command: Command) -> None:
        if not self.controlled:
            self._refuse(command, CommandOutcome.REFUSED, OBSERVES)
            return
        command = self.realtime.take_out(command)
        try:
            if self._held:
                most = self._line.scheduler.max_commands
                await self._until(lambda: len(self._held.commands) < most)
            elif not self._line.scheduler.has_room(len(command.data)):
                await self._until_room(len(command.data))
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
            return
        if command.data:
            self._submit(command)
        else:  # all of it were real-time bytes
            if not self.client.only_failures:
                self.outbox.put(CommandResult(command.id, CommandOutcome.WRITTEN))
            self.progressed()

    def _submit(self, command: Command, written_bytes: int = 0) -> None:
        self._line.submit(self, command.id, command.priority, command.data, written_bytes)

    def _refusal(self, command: Command) -> tuple[CommandOutcome, str] | None:
        line = self._line
        if self.realtime.is_void(command.after_reset):
            return CommandOutcome.FLUSHED, RESET
        if command.epoch != line.latch.epoch:
            return CommandOutcome.FENCED, f"epoch {command.epoch} is not in force"
        if self._lost_job.refuses:
            return CommandOutcome.REFUSED, self._lost_job.why_refused()
        if not line.is_open:
            return CommandOutcome.FAILED, f"port '{line.id}' has no device: {line.keeper.reason}"
        return None

    def _refuse(self, command: Command, outcome: CommandOutcome, why: str) -> None:
        self._line.counters.failed(1)
        self.outbox.put(CommandResult(command.id, outcome, message=why))

    async def _until_room(self, size: int) -> None:
        await self._until(lambda: self._line.scheduler.has_room(size))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (self._ended or condition()):
            await self._line.progress.wait()

    async def _idle(self, condition: Callable[[], bool], timeout_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._until(condition), timeout_s)

    def _has_left(self) -> bool:
        return not self._held and self._line.scheduler.waiting_of(self) == (0, 0)

    def _end(self, *, said_goodbye: bool) -> None:
        self._ended = True
        self._sending.end()
        self._owner.session_ended(self, said_goodbye=said_goodbye)
        self._held.end()
