"""The stop: acts on a port's machine at once, ahead of every queue, lock and timer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    PortLatchedError,
    WrongStateError,
)
from usbshare.base.waits import set_within
from usbshare.line.profiles import StopAction, StopPlan
from usbshare.line.settings import Completion
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import StopAudit, StopRecord
from usbshare.serial_svc.stop.fence import Fence, Programs
from usbshare.serial_svc.stop.hold import HoldCause, SeenHold
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine

log = logging.getLogger(__name__)

LINK_LOSS = "link-loss policy"
"""Who stops the machine of a lost session."""
TAKE_TIMEOUT_S = 1.0
DRAIN_TIMEOUT_S = 0.1
_DRAIN_POLL_S = 0.001
_OF_QUEUE = (HoldCause.WAITING, HoldCause.LINE_ERROR)
_HOLDS = frozenset({StopAction.HOLD, StopAction.SAFETY_DOOR})


@dataclass(slots=True)
class _Begun:
    """How far a stop has come; `sent` once its bytes are on their way."""

    at: float
    fenced: int = 0
    sent: bytes | None = None
    write_delay_s: float | None = None


class StopPath:
    """Carries out stops on one line; works with and without a session."""

    def __init__(
        self,
        line: Line,
        machine: Machine,
        lost_job: LostJob,
        fence: Fence,
        programs: Programs,
        audit: StopAudit,
        clock: Callable[[], float],
        until_resumed: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._line = line
        self._machine = machine
        self._lost_job = lost_job
        self._fence = fence
        self._programs = programs
        self._audit = audit
        self._clock = clock
        self._until_resumed = until_resumed

    async def stop(
        self,
        action: StopAction,
        who: str,
        why: str = "",
        address: str = "",
        seen: SeenHold | None = None,
    ) -> StopRecord:
        """Stop the machine; an emergency stop fences what was sent before and latches the port.

        A resume waits until the machine continues, 2 s at most. Raises NotSupportedError where the
        profile has no bytes for it, DeviceError where there is no device or it takes no bytes,
        PortLatchedError for a resume where something has come since what was `seen`,
        WrongStateError where the machine stays held. What was begun is reported even if the caller
        leaves.
        """
        begun = _Begun(self._clock())
        try:
            record = await self._stop(action, who, why, begun, seen)
        except (
            DeviceError,
            InvalidArgumentError,
            NotSupportedError,
            PortLatchedError,
            WrongStateError,
        ) as error:
            log.error("%s on port '%s' by %s FAILED: %s", action.value, self._line.id, who, error)
            self._audit.stop_failed(action, who, address, why, str(error))
            raise
        except asyncio.CancelledError:
            self._caller_left(action, who, why, address, begun)
            raise
        _log_stop(action, self._line.id, who, why, record)
        self._audit.stopped(action, who, address, why, record)
        return record

    def _caller_left(
        self, action: StopAction, who: str, why: str, address: str, begun: _Begun
    ) -> None:
        line = self._line
        if begun.sent is None:
            error = "its caller disconnected before there was a device; nothing was sent"
            error += _also_latched(action)
            log.error("%s on port '%s' by %s FAILED: %s", action.value, line.id, who, error)
            self._audit.stop_failed(action, who, address, why, error)
            return
        delay_s = begun.write_delay_s
        record = StopRecord(
            epoch=line.latch.epoch,
            latched=line.latch.is_set,
            sent=begun.sent,
            fenced_commands=begun.fenced,
            write_delay_s=self._since(begun) if delay_s is None else delay_s,
            caller_left=True,
            taken=delay_s is not None,
            hold_number=self._machine.holds.number,
        )
        _log_stop(action, line.id, who, why, record)
        self._audit.stopped(action, who, address, why, record)

    def _since(self, begun: _Begun) -> float:
        return self._clock() - begun.at

    async def _stop(
        self, action: StopAction, who: str, why: str, begun: _Begun, seen: SeenHold | None
    ) -> StopRecord:
        line = self._line
        latches = action is StopAction.EMERGENCY_STOP
        self._require_unchanged(seen)
        if latches:
            line.latch.set(who, why)
        if action is StopAction.RESUME and not self._has_resume_bytes():
            self._machine.resumed()  # there are no bytes for it, and the queue was held
            begun.sent, begun.write_delay_s = b"", self._since(begun)
            return self._record(b"", 0, begun.write_delay_s)
        try:
            plan = line.profile.stop_plan(action)
            if not line.is_open:
                await self._open(begun, latches=latches)
                self._require_unchanged(seen)
            if latches and not line.latch.is_set:  # re-armed while the device was being opened
                line.latch.set(who, why)
            try:
                begun.sent = sent = self._carry_out(plan)
            finally:
                if latches:
                    begun.fenced += self._fenced()
            if action in _HOLDS:
                begun.fenced += self._held(action, who, why)
            await self._until_taken()
        except DeviceError as error:
            raise DeviceError(f"{error}{_also_latched(action)}") from error
        finally:
            line.counters.stopped()
            line.changed()
        if latches:
            self._machine.nothing_left()
            self._lost_job.superseded()
        begun.write_delay_s = write_delay_s = self._since(begun)
        line.counters.stop_write_time.add(write_delay_s, self._clock())
        if action is StopAction.RESUME:
            again = await self._until_resumed()
            return self._record(sent + again, begun.fenced, write_delay_s)
        drain_delay_s = self._since(begun) if await self._has_drained() else None
        return self._record(sent, begun.fenced, write_delay_s, drain_delay_s)

    def _record(
        self, sent: bytes, fenced: int, write_delay_s: float, drain_delay_s: float | None = None
    ) -> StopRecord:
        latch = self._line.latch
        return StopRecord(
            *(latch.epoch, latch.is_set, sent, fenced, write_delay_s, drain_delay_s),
            hold_number=self._machine.holds.number,
        )

    def _held(self, action: StopAction, who: str, why: str) -> int:
        """Note that the machine was sent a hold. Returns how many commands are void by it."""
        keeps_program, is_at_work = self._line.profile.hold_keeps_program, self._machine.is_at_work
        fenced = 0 if keeps_program else self._fence.end_epoch()
        if who == LINK_LOSS:
            return fenced
        if keeps_program:
            self._machine.holds.machine_held(HoldCause.STOP, who, why)
        elif is_at_work:
            lost = f"{action.value}: the firmware discarded moves"
            self._lost_job.begin(who, lost, resets=True)
        return fenced

    def _has_resume_bytes(self) -> bool:
        """Return whether a resume has bytes for the machine; False if only the queue is held.

        Raises PortLatchedError for a lost job, DeviceError while the client is away.
        """
        self._lost_job.refuse_resume()
        holds = self._machine.holds
        is_left_alone = holds.current is not None and holds.current.cause in _OF_QUEUE
        if not holds.needs_person or not is_left_alone or self._line.profile.reports_state:
            return True
        if self._programs.is_away:
            raise DeviceError(
                f"port '{self._line.id}': its client is disconnected; once it is back, resume "
                "again to send what is waiting"
            )
        return False

    def _require_unchanged(self, seen: SeenHold | None) -> None:
        """Raise unless nothing has been stopped or held since that was seen."""
        name, epoch = f"port '{self._line.id}'", self._line.latch.epoch
        number = self._machine.holds.number
        if seen is None or (seen.epoch, seen.number) == (epoch, number):
            return
        if seen.epoch > epoch or (seen.epoch == epoch and seen.number > number):
            raise InvalidArgumentError(
                f"{name} is in epoch {epoch} with hold number {number}; epoch "
                f"{seen.epoch} with hold number {seen.number} has not begun"
            )
        raise PortLatchedError(
            f"{name} is not resumed: it was stopped or held again since epoch "
            f"{seen.epoch} with hold number {seen.number}, which you named. Look at the machine, "
            f"then resume with epoch {epoch} and hold number {number}"
        )

    async def _open(self, begun: _Begun, *, latches: bool) -> None:
        """Open the device for a stop, which takes effect on programs before there is one."""
        if latches:
            begun.fenced = self._fenced()
            self._line.changed()
        await self._line.ensure_open()

    def _fenced(self) -> int:
        fenced = self._fence.drop()
        self._machine.program_voided()
        return fenced

    def rearm(self, who: str, seen_epoch: int, address: str = "") -> int:
        """Release the latch for somebody who has seen the port in an epoch; returns that in force.

        Raises PortLatchedError if a stop came since, InvalidArgumentError for an epoch to come.
        """
        line, latch = self._line, self._line.latch
        released = latch.record
        if latch.release(seen_epoch, line.id):
            line.changed()
            log.warning("port '%s' re-armed by %s after the stop by %s", line.id, who, released)
            self._audit.rearmed(who, address, latch.epoch)
        return latch.epoch

    async def _until_taken(self) -> None:
        """Wait until the device has taken the bytes; raises DeviceError if it does not."""
        line, deadline = self._line, self._clock() + TAKE_TIMEOUT_S
        while line.writer.urgent_waits:
            left_s = deadline - self._clock()
            if left_s <= 0:
                raise DeviceError(
                    f"port '{line.id}': the device accepts no bytes; once it does, the stop is "
                    "sent first"
                )
            await set_within(line.progress, left_s)
        if not line.is_open:
            raise DeviceError(f"port '{line.id}' has no device: {line.keeper.reason}")

    async def _has_drained(self) -> bool:
        """Return whether the driver says that the bytes have left; it is not waited for long.

        Those of a program that follow them are not waited for.
        """
        line, deadline = self._line, self._clock() + DRAIN_TIMEOUT_S
        until_bytes = line.counters.written_bytes
        try:
            device = line.device
            while line.counters.written_bytes - device.unsent_bytes() < until_bytes:
                if self._clock() >= deadline:
                    return False
                await asyncio.sleep(_DRAIN_POLL_S)
            return await device.drain(0.0) is not Completion.ASSUMED_SUCCESS
        except DeviceError:
            return False

    def _carry_out(self, plan: StopPlan) -> bytes:
        line = self._line
        # A flush may take the line end that was written with it; a blank line harms nothing.
        ends_line = plan.own_line and (plan.flush or line.writer.line_is_open)
        if plan.flush:
            line.writer.discard()
        data = (b"\n" if ends_line else b"") + plan.data
        if data:
            line.writer.urgent(data)
            self._machine.sent(data)
        if plan.drop_dtr:
            self._drop_dtr()
        return data

    def _drop_dtr(self) -> None:
        try:
            self._line.device.set_lines(dtr=False)
        except (DeviceError, NotSupportedError) as error:  # the bytes are on their way
            log.error("port '%s': the stop did not drop DTR: %s", self._line.id, error)


def _also_latched(action: StopAction) -> str:
    is_latched = action is StopAction.EMERGENCY_STOP
    return "; the port is latched: programs are refused until it is re-armed" if is_latched else ""


def _log_stop(action: StopAction, port_id: str, who: str, why: str, record: StopRecord) -> None:
    log.warning(
        "%s on port '%s' by %s: sent %r %s, fenced %d commands%s",
        action.value,
        port_id,
        who,
        record.sent,
        _when(record),
        record.fenced_commands,
        f" ({why})" if why else "",
    )


def _when(record: StopRecord) -> str:
    after = f"after {record.write_delay_s * 1e3:.3f} ms"
    if not record.taken:
        return f"(its caller disconnected {after}; the device had not accepted it yet)"
    if record.caller_left:
        return f"{after} (its caller disconnected before they had drained)"
    drain_s = record.drain_delay_s
    return after if drain_s is None else f"{after} (drained after {drain_s * 1e3:.3f} ms)"
