"""One client's stream on one port: what it sends is checked, ordered, queued and answered."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from usbshare.common.credit import Credit, window_bytes
from usbshare.common.errors import (
    DeviceError,
    InvalidArgumentError,
    LimitError,
    NotSupportedError,
    PermissionDeniedError,
)
from usbshare.common.profiles import Priority
from usbshare.serial_svc.description import Holder
from usbshare.serial_svc.events import (
    CommandOutcome,
    CommandResult,
    HeartbeatReply,
    OperationOutcome,
    OperationResult,
    SessionEvent,
)
from usbshare.serial_svc.ledger import Ledger
from usbshare.serial_svc.outbox import Outbox
from usbshare.serial_svc.scheduler import Ordering, Queued

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort

LARGEST_COMMAND_BYTES = 4096
LARGEST_REALTIME_BYTES = 64
MOST_HELD = 256
OBSERVES = "the session only observes; open it with control to write"
CLOSE_TIMEOUT_S = 10.0


def new_session_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_hex(8)


class Mode(Enum):
    """What a session may do."""

    CONTROL = "control"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end, and what it asked for at open."""

    session_id: str
    identity: str
    name: str
    peer: str
    mode: Mode
    ordering: Ordering = Ordering.PROGRAM
    only_failures: bool = False


class Command(NamedTuple):  # one a line of G-code: a dataclass takes four times as long to make
    """Bytes for the device; `priority` None lets the profile classify them."""

    id: int
    priority: Priority | None
    epoch: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Operation:
    """Something that must wait for the bytes before it, and that the bytes after it wait for."""

    id: int
    run: Callable[[], Awaitable[OperationResult]]


class Session:
    """A client's stream; created by SerialPort.open_session, ended by `close` or `lost`."""

    def __init__(self, client: Client, port: SerialPort, clock: Callable[[], float]) -> None:
        self.client = client
        self.outbox = Outbox(port.hold_back.release)
        self.holder = Holder(
            client.session_id, client.identity, client.name, client.peer, datetime.now(UTC)
        )
        self._port = port
        self._controls = client.mode is Mode.CONTROL
        self._only_failures = client.only_failures
        self._clock = clock
        self._held: deque[Command | _Operation] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._ledger = Ledger(port.scheduler.max_commands)
        self._round_trip_s = 0.0
        self._window = 0
        self._ended = False
        self.line_changed()

    # What the client sends.

    async def command(self, command: Command) -> None:
        """Write or queue a command, waiting while the queue is full; refusals are told in band."""
        size = len(command.data)
        if not 1 <= size <= LARGEST_COMMAND_BYTES or command.offset != self._ledger.received_offset:
            raise self._malformed(command)
        self._ledger.receive(size)
        taken = 0
        if self._only_failures and self._controls and not (self._held or self._ended):
            taken = self._port.write_through(command.data, command.epoch)
        if taken == size:
            if self._ledger.is_due(0, 0):
                self.outbox.poke()
        elif taken:
            self._submit(command, taken)
        else:
            await self._queue(command)

    def realtime(self, data: bytes) -> None:
        """Write real-time bytes ahead of the queue; a reset byte voids what this session queued."""
        if not self._controls:
            raise PermissionDeniedError(OBSERVES)
        if not 1 <= len(data) <= LARGEST_REALTIME_BYTES:
            raise InvalidArgumentError(f"realtime.data has {len(data)} bytes; 1 to 64 are allowed")
        self._write_realtime(data)

    def operation(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        """Run something on the line after the session's earlier bytes, before its later ones."""
        if not self._may_operate(operation_id):
            return
        if len(self._held) >= MOST_HELD:
            raise LimitError(f"more than {MOST_HELD} requests wait for the line")
        self._held.append(_Operation(operation_id, run))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_held(), name=f"held {self.client.name}")

    async def operate_now(
        self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]
    ) -> None:
        """Run something on the line at once, whatever is queued."""
        if self._may_operate(operation_id):
            await self._perform(_Operation(operation_id, run))

    def heartbeat(self, heartbeat_id: int, round_trip_s: float) -> None:
        """Answer a heartbeat; the round trip sizes the credit window."""
        self._round_trip_s = round_trip_s
        self.line_changed()
        self.send(HeartbeatReply(heartbeat_id))

    def flush_output(self) -> None:
        """Drop what this session queued and what the driver still holds."""
        self.void_queue()
        self._port.discard_output()

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """End cleanly: after the queued commands, or after the timeout without them."""
        if self._controls:
            await self._idle(timeout_s)
        self._end()
        self.outbox.close()

    def lost(self) -> None:
        """End without a goodbye: what was queued is dropped, since nobody may be watching."""
        self._end()

    # What the port tells.

    def send(self, event: SessionEvent) -> None:
        """Queue an event for the client."""
        self.outbox.put(event)

    def written(self, command: Queued, now: float) -> None:
        """Report a command that went out whole, if the client wants to know."""
        if not self._only_failures:
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
        commands = [item for item in self._held if isinstance(item, Command)]
        self._held = deque(item for item in self._held if isinstance(item, _Operation))
        for command in commands:
            self._refuse(command, CommandOutcome.FENCED, "a stop ended its epoch")
        return len(commands)

    def void_queue(self) -> None:
        """Drop what this session queued: a reset byte or a flush made it void."""
        now = self._clock()
        for queued in self._port.scheduler.drop(self):
            self.finish(queued, CommandOutcome.FLUSHED, now, "dropped by its own session")
        commands = [item for item in self._held if isinstance(item, Command)]
        self._held = deque(item for item in self._held if isinstance(item, _Operation))
        for command in commands:
            self._refuse(command, CommandOutcome.FLUSHED, "dropped by its own session")
        self._port.write_progressed()

    def progressed(self) -> None:
        """Learn that bytes left the queue, so that credit may be due."""
        if self._ledger.is_due(*self._waiting()):
            self.outbox.poke()

    def line_changed(self) -> None:
        """Learn that the line's rate changed, which sizes the window."""
        rate = self._port.settings.bytes_per_s
        window = window_bytes(rate, self._round_trip_s, self._port.scheduler.max_bytes)
        independent = self.client.ordering is Ordering.PRIORITY
        # A command that must not be cut fits whole; a program may be cut anywhere.
        self._window = max(window, LARGEST_COMMAND_BYTES) if independent else window

    def credit_due(self) -> Credit | None:
        """Return the credit to tell with the next message, None if nothing changed."""
        return self._ledger.tell(*self._waiting(), self._window)

    # Helpers.

    def _malformed(self, command: Command) -> InvalidArgumentError:
        size = len(command.data)
        if not 1 <= size <= LARGEST_COMMAND_BYTES:
            return InvalidArgumentError(
                f"command.data has {size} bytes; 1 to {LARGEST_COMMAND_BYTES} are allowed"
            )
        expected = self._ledger.received_offset
        return InvalidArgumentError(f"command.offset is {command.offset}; {expected} follows on")

    async def _queue(self, command: Command) -> None:
        if not self._controls:
            self._refuse(command, CommandOutcome.REFUSED, OBSERVES)
            return
        command = self._cut_realtime(command)
        if self._held:
            await self._until(lambda: len(self._held) < MOST_HELD)
        if self._held:
            self._held.append(command)
            return
        if not self._port.scheduler.has_room(len(command.data)):
            await self._until(lambda: self._port.scheduler.has_room(len(command.data)))
        self._enqueue(command)

    def _cut_realtime(self, command: Command) -> Command:
        profile = self._port.profile
        if not profile.has_realtime(command.data):
            return command
        if command.epoch < self._port.epoch:
            return command
        split = profile.split(command.data)
        self._write_realtime(split.realtime)
        return Command(command.id, command.priority, command.epoch, command.offset, split.program)

    def _write_realtime(self, data: bytes) -> None:
        """Write real-time bytes; void where there is no device, of which the session is told."""
        if not self._port.is_open:
            return
        try:
            self._port.write_realtime(data)
        except DeviceError:
            if self._port.is_open:
                raise

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
        if command.epoch < port.epoch:
            return CommandOutcome.FENCED, f"epoch {command.epoch} has ended"
        if port.latched:
            return CommandOutcome.REFUSED, f"port '{port.id}' is latched by a stop; re-arm it first"
        if not port.is_open:
            return CommandOutcome.FAILED, f"port '{port.id}' has no device: {port.reason}"
        return None

    def _refuse(self, command: Command, outcome: CommandOutcome, why: str) -> None:
        self._port.counters.failed_commands += 1
        self.send(CommandResult(command.id, outcome, message=why))

    def _may_operate(self, operation_id: int) -> bool:
        if self._controls:
            return True
        self.send(OperationResult(operation_id, OperationOutcome.ERROR, OBSERVES))
        return False

    async def _run_held(self) -> None:
        while self._held:
            item = self._held[0]
            if isinstance(item, _Operation):
                await self._perform(item)
            else:
                size = len(item.data)
                await self._until(lambda size=size: self._port.scheduler.has_room(size))  # type: ignore[misc]
            if self._held and self._held[0] is item:
                self._held.popleft()
                if isinstance(item, Command):
                    self._enqueue(item)
        self._port.write_progressed()

    async def _perform(self, operation: _Operation) -> None:
        try:
            result = await operation.run()
        except NotSupportedError as error:
            outcome = OperationOutcome.NOT_SUPPORTED
            result = OperationResult(operation.id, outcome, str(error))
        except (DeviceError, InvalidArgumentError) as error:
            result = OperationResult(operation.id, OperationOutcome.ERROR, str(error))
        self.send(result)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (self._ended or condition()):
            await self._port.progress.wait()

    async def _idle(self, timeout_s: float) -> None:
        def idle() -> bool:
            return not self._held and self._port.scheduler.waiting_of(self) == (0, 0)

        try:
            await asyncio.wait_for(self._until(idle), timeout_s)
        except TimeoutError:
            return

    def _end(self) -> None:
        self._ended = True
        if self._runner is not None:
            self._runner.cancel()
        self._held.clear()
        self._port.session_ended(self)

    def _waiting(self) -> tuple[int, int]:
        """Return how many commands and bytes were received and have not left."""
        scheduler = self._port.scheduler
        if not self._held and not scheduler.commands:
            return 0, 0
        commands, size = scheduler.waiting_of(self)
        if self._held:
            held = [item.data for item in self._held if isinstance(item, Command)]
            return commands + len(held), size + sum(map(len, held))
        return commands, size
