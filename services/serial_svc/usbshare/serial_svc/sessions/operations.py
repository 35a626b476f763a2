"""What a session may ask of the line itself, each with an explicit result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass

from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.line.settings import Completion, Device, SettingsChange
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.audit import SessionAudit
from usbshare.serial_svc.sessions.events import OperationOutcome, OperationResult
from usbshare.serial_svc.sessions.session import Session

SETTLE_TIMEOUT_S = 2.0
DRIVER_LOOK_S = 0.005
MOST_STEPS = 64
LONGEST_SEQUENCE_S = 10.0
LONGEST_BREAK_S = 5.0

_OUTCOMES = {
    Completion.OK: OperationOutcome.OK,
    Completion.ASSUMED_SUCCESS: OperationOutcome.ASSUMED_SUCCESS,
    Completion.TIMEOUT: OperationOutcome.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class LineStep:
    """One step of a sequence: lines to change (None leaves one alone), then a delay."""

    dtr: bool | None
    rts: bool | None
    line_break: bool | None
    delay_s: float


class LineOperations:
    """Carries out one session's requests on its line."""

    def __init__(self, line: Line, session: Session, audit: SessionAudit) -> None:
        self._line = line
        self._session = session
        self._audit = audit
        self._break_end: asyncio.TimerHandle | None = None

    async def configure(self, operation_id: int, change: SettingsChange) -> OperationResult:
        """Change settings once the bytes before have left; TIMEOUT when none leaves for 2 s."""
        settings = change.apply_to(self._line.settings)
        if not await self._settle():
            why = "the line is blocked: the bytes before it have not left"
            return OperationResult(operation_id, OperationOutcome.TIMEOUT, why)
        before = self._line.settings
        effective = await self._line.configure(settings)
        self._audit.configured(self._session.client, before, effective)
        return OperationResult(operation_id, OperationOutcome.OK, settings=effective)

    async def set_lines(
        self, operation_id: int, dtr: bool | None, rts: bool | None
    ) -> OperationResult:
        """Set output lines now."""
        await self._line.device.set_lines(dtr=dtr, rts=rts)
        return OperationResult(operation_id, OperationOutcome.OK)

    async def play(self, operation_id: int, steps: list[LineStep]) -> OperationResult:
        """Carry out a timed sequence of line changes; ends a break that is left on.

        Raises InvalidArgumentError.
        """
        if len(steps) > MOST_STEPS or sum(step.delay_s for step in steps) > LONGEST_SEQUENCE_S:
            raise InvalidArgumentError(
                f"line_sequence is longer than {MOST_STEPS} steps or {LONGEST_SEQUENCE_S:g} s"
            )
        await self._settle()
        try:
            for step in steps:
                await self._apply(step)
                await asyncio.sleep(step.delay_s)
        finally:
            if any(step.line_break for step in steps):
                await self._line.device.set_break(on=False)
        return OperationResult(operation_id, OperationOutcome.OK)

    async def send_break(self, operation_id: int, duration_s: float) -> OperationResult:
        """Hold the line in the break condition for that long."""
        await self._settle()
        await self._line.device.set_break(on=True)
        try:
            await asyncio.sleep(duration_s)
        finally:
            await self._line.device.set_break(on=False)
        return OperationResult(operation_id, OperationOutcome.OK)

    async def hold_break(self, operation_id: int, *, on: bool) -> OperationResult:
        """Start or end a break condition; it is ended after 5 s whatever becomes of the client."""
        await self._settle()
        if self._break_end is not None:
            self._break_end.cancel()
            self._break_end = None
        device = self._line.device
        await device.set_break(on=on)
        if on:
            loop = asyncio.get_running_loop()
            self._break_end = loop.call_later(LONGEST_BREAK_S, self._end_break, device)
        return OperationResult(operation_id, OperationOutcome.OK)

    def _end_break(self, device: Device) -> None:
        self._break_end = None
        with suppress(DeviceError):  # gone, and its break with it
            device.set_break(on=False)

    def flush(self, *, received: bool, queued: bool) -> Awaitable[None] | None:
        """Empty buffers now: received bytes not yet delivered, queued bytes not yet sent.

        Returns what to await where the device takes time for it.
        """
        if queued:
            self._session.flush_queue()
        if not received:
            return None
        self._session.outbox.discard_data()
        return self._line.device.discard_input()

    async def drain(self, operation_id: int, timeout_s: float) -> OperationResult:
        """Wait until the session's earlier bytes have left the host."""
        if not await self._sent_within(timeout_s):
            outcome = OperationOutcome.TIMEOUT
            return OperationResult(operation_id, outcome, f"not drained after {timeout_s:g} s")
        completion = await self._line.device.drain(timeout_s)
        return OperationResult(operation_id, _OUTCOMES[completion])

    async def _settle(self) -> bool:
        """Wait until the bytes before have left; False when none leaves for 2 s."""
        while True:
            waiting = self._waiting()
            if await self._sent_within(SETTLE_TIMEOUT_S):
                return True
            left = self._waiting()
            if left == waiting and any(left):
                return False

    def _waiting(self) -> tuple[int, ...]:
        """Return what of the session has not left: commands, bytes, bytes in the driver."""
        waiting = self._ahead()
        return (*waiting, self._line.device.unsent_bytes())

    def _ahead(self) -> tuple[int, int]:
        """Return how many commands and bytes of the session wait that came before."""
        commands, size = self._line.scheduler.waiting_of(self._session)
        lines, line_bytes = self._session.lines.waiting() if self._session.lines else (0, 0)
        return commands + lines, size + line_bytes

    async def _sent_within(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._until_sent(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _until_sent(self) -> None:
        """Wait until what the session queued has left the host, by line time at least."""
        while self._ahead() != (0, 0):
            await self._line.progress.wait()
        await asyncio.sleep(max(0.0, self._line.pacer.clear_at - time.monotonic()))
        # A device with native USB takes what its driver holds when it will.
        while self._line.device.unsent_bytes():  # noqa: ASYNC110  (no driver reports when)
            await asyncio.sleep(DRIVER_LOOK_S)

    async def _apply(self, step: LineStep) -> None:
        if step.dtr is not None or step.rts is not None:
            await self._line.device.set_lines(dtr=step.dtr, rts=step.rts)
        if step.line_break is not None:
            await self._line.device.set_break(on=step.line_break)
