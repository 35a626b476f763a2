"""One client's stream on one port: what it sends is checked, ordered, queued and answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from usbshare.base.errors import LimitError, PermissionDeniedError, UsbshareError
from usbshare.line.credit import Credit, window_bytes
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.scheduler import Ordering, Queued
from usbshare.serial_svc.sessions.attachment import Attachment
from usbshare.serial_svc.sessions.client import (
    LARGEST_COMMAND_BYTES,
    Client,
    Command,
    Holder,
    Mode,
    malformed,
)
from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import (
    REFUSALS,
    CommandOutcome,
    CommandResult,
    HeartbeatReply,
    Opened,
    OperationOutcome,
    OperationResult,
    SessionEvent,
    refusal,
)
from usbshare.serial_svc.sessions.hearing import Hearing
from usbshare.serial_svc.sessions.ledger import Ledger
from usbshare.serial_svc.sessions.observer_outbox import ObserverOutbox
from usbshare.serial_svc.sessions.operation_queue import Operation, OperationQueue
from usbshare.serial_svc.sessions.outbox import Outbox
from usbshare.serial_svc.sessions.own_realtime import OwnRealtime

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort

MOST_OPERATIONS = 256
RESET = "its program wrote a reset after it"
OBSERVES = "the session only observes; open it in control mode to write"
CLOSE_TIMEOUT_S = 10.0


class Session:
    """A client's conversation; made by SerialPort.open_session, ended by `close` or `end`.

    It outlives its stream: see `attach`, `stream_ended` and `resume`. `last_heard` is when the
    client was heard last, `is_held` whether its queue waits for a person.
    """

    def __init__(self, client: Client, port: SerialPort, clock: Callable[[], float]) -> None:
        self.client = client
        self.token = secrets.token_urlsafe(16)
        self.last_heard = clock()
        self.is_held = False
        self._attachment: Attachment | None = None
        is_control = client.mode is Mode.CONTROL
        control = ControlOutbox(port.hold_back.release, port.read_offset) if is_control else None
        self.controlled = control
        self.outbox: Outbox = control or ObserverOutbox(port.observer_turns.tail)
        self.holder = Holder(
            client.session_id, client.identity, client.name, client.peer, datetime.now(UTC)
        )
        self._port = port
        self._clock = clock
        self._sending = port.audit.sending(client)
        self._held = OperationQueue(
            port.run, self._until_room, self._enqueue, port.write_progressed
        )
        self._ledger = Ledger(port.scheduler.max_commands)
        self._own = OwnRealtime(self, port, clock)
        self.hearing = Hearing()
        self._round_trip_s = 0.0
        self._window = 0
        self._ended = False
        self.line_changed()

    # What the client sends.

    async def command(self, command: Command) -> None:
        """Write or queue a command, waiting while the queue is full; refusals are told in band."""
        size = len(command.data)
        if not 1 <= size <= LARGEST_COMMAND_BYTES or command.offset != self._ledger.received_offset:
            raise malformed(command, self._ledger.received_offset)
        self._ledger.receive(size)
        if self.controlled:
            self._sending.sent(command.data)
            self._port.firmware.wrote(command.data)
        if command.after_reset != self._own.reset_number and self._own.is_void(command.after_reset):
            self._refuse(command, CommandOutcome.FLUSHED, RESET)
            self.progressed()
            return
        taken = 0
        if self.client.only_failures and self.controlled and not self._must_queue(command.data):
            taken = self._port.write_through(command.data, command.epoch)
        if taken == size:
            if self._ledger.is_due(0, 0):
                self.outbox.poke()
        elif taken:
            self._submit(command, taken)
        else:
            await self._queue(command)

    def realtime(self, data: bytes, first_number: int = 0, epoch: int = 0) -> None:
        """Write real-time bytes ahead of the queue; a reset byte voids what this session queued.

        They are void where there is no device, of which the session is told, and but for their
        stops where the epoch that they are of is over; 0 is not told.
        """
        self._require_control()
        self._own.in_stream(data, first_number, epoch)

    def overtake(self, data: bytes, first_number: int, epoch: int = 0) -> None:
        """Do so for bytes that came another way; raises DeviceError also without a device."""
        self._require_control()
        self._own.write(data, first_number, epoch)

    def operation(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        """Run something on the line after the session's earlier bytes, before its later ones."""
        if self._may_operate(operation_id):
            self._held.append(Operation(lambda: self._perform(operation_id, run)))

    def operate_now(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        """Run something on the line at once, whatever is queued, before the session's later bytes.

        Whoever reads the session's stream does not wait for it: a sick adapter may take 5 s.
        """
        if self._may_operate(operation_id):
            done = self._port.run(self._perform(operation_id, run), "operation")
            self._held.append(Operation(lambda: asyncio.wait([done])))

    def flush(self, operation_id: int, run: Callable[[], OperationResult]) -> None:
        """Empty buffers: what comes later is not meant, and nothing is waited for."""
        if self._may_operate(operation_id):
            try:
                self.send(run())
            except REFUSALS as error:
                self.send(refusal(operation_id, error))

    def heartbeat(self, beat_id: int, round_trip_s: float, heard_id: int | None = None) -> None:
        """Answer a heartbeat; the round trip sizes the credit window."""
        self._round_trip_s = round_trip_s
        self.hearing.beat(beat_id, heard_id, round_trip_s, self._clock())
        self.line_changed()
        self.send(HeartbeatReply(beat_id, self._own.number))

    def flush_output(self) -> None:
        """Drop what this session queued and what the driver still holds."""
        self.void_queue()
        self._port.discard_output()

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """End cleanly: after the queued commands, or after the timeout without them."""
        if self.controlled:
            await self._idle(timeout_s)
        self._end(said_goodbye=True)
        self.outbox.close()

    def end(self, why: str) -> None:
        """End without a goodbye: what was queued is dropped, since nobody may be watching."""
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
        """Note that a stream ended without a goodbye; one that was replaced does not matter."""
        if attachment is self._attachment and not self._ended:
            self.detach("the stream ended")
            self._port.stream_lost(self)

    def fail(self, why: str) -> None:
        """End a session whose client broke the rules; the machine is treated as after a loss."""
        if not self._ended:
            self._port.session_failed(self, why)
            self.end(why)

    def resume(self, opened: Opened, offset: int) -> bool:
        """Take the client up again that has all device bytes before `offset`.

        False, and nothing changes, if those that follow are not all here.
        """
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
        self.last_heard = self._clock()
        return True

    def hold(self) -> None:
        """Let nothing of what is queued go out."""
        self.is_held = True
        self._port.scheduler.hold(self)

    def release(self) -> None:
        """Let what is queued go out."""
        if self.is_held:
            self.is_held = False
            self._port.scheduler.release(self)
            self._port.pump()

    # What the port tells.

    def send(self, event: SessionEvent) -> None:
        """Queue an event for the client."""
        self.outbox.put(event)

    def written(self, command: Queued, now: float) -> None:
        """Report a command that went out whole, if the client wants to know."""
        if not self.client.only_failures:
            self.finish(command, CommandOutcome.WRITTEN, now)

    def finish(self, command: Queued, outcome: CommandOutcome, now: float, why: str = "") -> None:
        """Report what became of a command."""
        started_at = command.started_at if command.started_at is not None else now
        self.send(
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
            self._refuse(command, CommandOutcome.FENCED, "a stop ended its epoch")
        return len(commands)

    def void_queue(self) -> None:
        """Drop what this session queued: a reset byte or a flush made it void."""
        now = self._clock()
        for queued in self._port.scheduler.drop(self):
            self.finish(queued, CommandOutcome.FLUSHED, now, "dropped by its own session")
        for command in self._held.drop_commands():
            self._refuse(command, CommandOutcome.FLUSHED, "dropped by its own session")
        self._port.write_progressed()

    def progressed(self) -> None:
        """Note that bytes left the queue, so that credit may be due."""
        if self._ledger.is_due(*self.waiting()):
            self.outbox.poke()

    def line_changed(self) -> None:
        """Note that the line's rate changed, which sizes the window."""
        rate = self._port.pacer.bytes_per_s
        window = window_bytes(rate, self._round_trip_s, self._port.scheduler.max_bytes)
        independent = self.client.ordering is Ordering.PRIORITY
        # A command that must not be cut fits whole; a program may be cut anywhere.
        self._window = max(window, LARGEST_COMMAND_BYTES) if independent else window

    def waiting(self) -> tuple[int, int]:
        """Return how many commands and bytes were received and have not left."""
        scheduler = self._port.scheduler
        if not self._held.items and not scheduler.commands:
            return 0, 0
        commands, size = scheduler.waiting_of(self)
        if self._held:
            held = [command.data for command in self._held.commands]
            return commands + len(held), size + sum(map(len, held))
        return commands, size

    def credit_due(self) -> Credit | None:
        """Return the credit to tell with the next message, None if nothing changed."""
        return self._ledger.tell(*self.waiting(), self._window)

    # Helpers.

    def _require_control(self) -> None:
        if not self.controlled:
            raise PermissionDeniedError(OBSERVES)

    def _must_queue(self, data: bytes) -> bool:
        waits = bool(self._held.items) or self.is_held or self._ended
        return waits or self._own.must_take_out(data)

    async def _queue(self, command: Command) -> None:
        if not self.controlled:
            self._refuse(command, CommandOutcome.REFUSED, OBSERVES)
            return
        command = self._own.take_out(command)
        try:
            if self._held:
                most = self._port.scheduler.max_commands
                await self._until(lambda: len(self._held.commands) < most)
            elif not self._port.scheduler.has_room(len(command.data)):
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
            now = self._clock()
            self.written(Queued(self, command.id, command.priority, b"", now), now)
            self.progressed()

    def _submit(self, command: Command, written_bytes: int = 0) -> None:
        now = self._clock()
        queued = Queued(self, command.id, command.priority, command.data, now, written_bytes)
        if written_bytes:
            queued.started_at = now
        self._port.submit(queued)

    def _refusal(self, command: Command) -> tuple[CommandOutcome, str] | None:
        port = self._port
        if self._own.is_void(command.after_reset):
            return CommandOutcome.FLUSHED, RESET
        if command.epoch != port.epoch:
            return CommandOutcome.FENCED, f"epoch {command.epoch} is not in force"
        if port.watch.refuses:
            return CommandOutcome.REFUSED, port.watch.why_refused()
        if not port.is_open:
            return CommandOutcome.FAILED, f"port '{port.id}' has no device: {port.reason}"
        return None

    def _refuse(self, command: Command, outcome: CommandOutcome, why: str) -> None:
        self._port.counters.failed_commands += 1
        self.send(CommandResult(command.id, outcome, message=why))

    def _may_operate(self, operation_id: int) -> bool:
        if self._held.operations >= MOST_OPERATIONS:
            raise LimitError(f"more than {MOST_OPERATIONS} requests are waiting for the line")
        if self.controlled:
            return True
        self.send(OperationResult(operation_id, OperationOutcome.ERROR, OBSERVES))
        return False

    async def _perform(
        self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]
    ) -> None:
        try:
            self.send(await run())
        except REFUSALS as error:
            self.send(refusal(operation_id, error))

    async def _until_room(self, size: int) -> None:
        await self._until(lambda: self._port.scheduler.has_room(size))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (self._ended or condition()):
            await self._port.progress.wait()

    async def _idle(self, timeout_s: float) -> None:
        def idle() -> bool:
            waits = self._held or self._port.scheduler.waiting_of(self) != (0, 0)
            return self.is_held or not waits

        try:
            await asyncio.wait_for(self._until(idle), timeout_s)
        except TimeoutError:
            return

    def _end(self, *, said_goodbye: bool) -> None:
        self._ended = True
        self._sending.end()
        self._port.session_ended(self, said_goodbye=said_goodbye)
        self._held.end()
