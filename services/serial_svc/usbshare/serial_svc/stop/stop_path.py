"""The stop: acts on a port's machine at once, ahead of every queue, lock and timer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    PortLatchedError,
)
from usbshare.line.profiles import StopAction, StopPlan
from usbshare.line.settings import Completion
from usbshare.serial_svc.stop.hold import SeenHold

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 1.0
DRAIN_TIMEOUT_S = 0.1
_DRAIN_POLL_S = 0.001
_HOLDS = frozenset({StopAction.HOLD, StopAction.SAFETY_DOOR})


@dataclass(frozen=True, slots=True)
class StopRecord:
    """What a stop did, with times since the call.

    `write_delay_s` is until the driver had the bytes, `drain_delay_s` until they had left the host,
    None if unknown. `caller_left` while it was carried out: if the device had not
    `taken` the bytes by then, `write_delay_s` is until that moment.
    """

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int
    write_delay_s: float
    drain_delay_s: float | None = None
    caller_left: bool = False
    taken: bool = True
    hold_number: int = 0


@dataclass(slots=True)
class _Begun:
    """How far a stop has come; `sent` once its bytes are on their way."""

    at: float
    fenced: int = 0
    sent: bytes | None = None
    write_delay_s: float | None = None


class StopPath:
    """Carries out stops on one port; works with and without a session."""

    def __init__(self, port: SerialPort, clock: Callable[[], float]) -> None:
        self._port = port
        self._clock = clock

    async def stop(
        self,
        action: StopAction,
        who: str,
        why: str = "",
        address: str = "",
        seen: SeenHold | None = None,
    ) -> StopRecord:
        """Stop the machine; an emergency stop fences what was sent before and latches the port.

        Raises NotSupportedError where the profile has no bytes for it, DeviceError where there is
        no device or it takes no bytes, PortLatchedError for a resume where something has come since
        what was `seen`. What was begun is told also if the caller leaves.
        """
        audit, begun = self._port.audit, _Begun(self._clock())
        try:
            record = await self._stop(action, who, why, begun, seen)
        except (
            DeviceError,
            InvalidArgumentError,
            NotSupportedError,
            PortLatchedError,
        ) as error:
            log.error("%s on port '%s' by %s FAILED: %s", action.value, self._port.id, who, error)
            audit.stop_failed(action, who, address, why, str(error))
            raise
        except asyncio.CancelledError:
            self._caller_left(action, who, why, address, begun)
            raise
        _log_stop(action, self._port.id, who, why, record)
        audit.stopped(action, who, address, why, record)
        return record

    def _caller_left(
        self, action: StopAction, who: str, why: str, address: str, begun: _Begun
    ) -> None:
        port = self._port
        if begun.sent is None:
            error = "its caller disconnected before there was a device; nothing was sent"
            error += _also_latched(action)
            log.error("%s on port '%s' by %s FAILED: %s", action.value, port.id, who, error)
            port.audit.stop_failed(action, who, address, why, error)
            return
        delay_s = begun.write_delay_s
        record = StopRecord(
            epoch=port.epoch,
            latched=port.latched,
            sent=begun.sent,
            fenced_commands=begun.fenced,
            write_delay_s=self._since(begun) if delay_s is None else delay_s,
            caller_left=True,
            taken=delay_s is not None,
            hold_number=port.watch.holds.number,
        )
        _log_stop(action, port.id, who, why, record)
        port.audit.stopped(action, who, address, why, record)

    def _since(self, begun: _Begun) -> float:
        return self._clock() - begun.at

    async def _stop(
        self, action: StopAction, who: str, why: str, begun: _Begun, seen: SeenHold | None
    ) -> StopRecord:
        port = self._port
        latches = action is StopAction.EMERGENCY_STOP
        self._require_unchanged(seen)
        if latches:
            port.latch.set(who, why)
        if action is StopAction.RESUME and not port.watch.may_resume():
            port.watch.person_resumed()  # there are no bytes for it, and the queue was held
            begun.sent, begun.write_delay_s = b"", self._since(begun)
            return self._record(b"", 0, begun.write_delay_s)
        try:
            plan = port.profile.stop_plan(action)
            if not port.is_open:
                await self._open(begun, latches=latches)
                self._require_unchanged(seen)
            if latches and not port.latched:  # re-armed while the device was being opened
                port.latch.set(who, why)
            try:
                begun.sent = sent = self._carry_out(plan)
            finally:
                if latches:
                    begun.fenced += self._fenced()
            if action in _HOLDS and not port.profile.hold_keeps_program:
                begun.fenced += port.end_epoch()
            port.watch.stop_sent(action, who)
            await self._until_taken()
        except DeviceError as error:
            raise DeviceError(f"{error}{_also_latched(action)}") from error
        finally:
            port.counters.stops += 1
            port.changed()
        if latches:
            port.watch.machine_stopped()
        begun.write_delay_s = write_delay_s = self._since(begun)
        port.counters.stop_write_time.add(write_delay_s)
        drain_delay_s = self._since(begun) if await self._has_drained() else None
        return self._record(sent, begun.fenced, write_delay_s, drain_delay_s)

    def _record(
        self, sent: bytes, fenced: int, write_delay_s: float, drain_delay_s: float | None = None
    ) -> StopRecord:
        port = self._port
        return StopRecord(
            *(port.epoch, port.latched, sent, fenced, write_delay_s, drain_delay_s),
            hold_number=port.watch.holds.number,
        )

    def _require_unchanged(self, seen: SeenHold | None) -> None:
        """Raise unless nothing has been stopped or held since that was seen."""
        port, number = self._port, self._port.watch.holds.number
        if seen is None or (seen.epoch, seen.number) == (port.epoch, number):
            return
        if seen.epoch > port.epoch or (seen.epoch == port.epoch and seen.number > number):
            raise InvalidArgumentError(
                f"port '{port.id}' is in epoch {port.epoch} with hold number {number}; epoch "
                f"{seen.epoch} with hold number {seen.number} has not begun"
            )
        raise PortLatchedError(
            f"port '{port.id}' is not resumed: it was stopped or held again since epoch "
            f"{seen.epoch} with hold number {seen.number}, which you named. Look at the "
            f"machine, then resume with epoch {port.epoch} and hold number {number}"
        )

    async def _open(self, begun: _Begun, *, latches: bool) -> None:
        """Open the device for a stop, which takes effect on programs before there is one."""
        if latches:
            begun.fenced = self._fenced()
            self._port.changed()
        await self._port.ensure_open()

    def _fenced(self) -> int:
        fenced = self._port.fence()
        self._port.watch.fenced()
        return fenced

    def rearm(self, who: str, seen_epoch: int, address: str = "") -> int:
        """Release the latch for somebody who has seen the port in an epoch; returns that in force.

        Raises PortLatchedError if a stop came since, InvalidArgumentError for an epoch to come.
        """
        port = self._port
        released = port.latch.record
        if port.latch.release(seen_epoch, port.id):
            port.changed()
            log.warning("port '%s' re-armed by %s after the stop by %s", port.id, who, released)
            port.audit.rearmed(who, address, port.epoch)
        return port.epoch

    async def _until_taken(self) -> None:
        """Wait until the device has taken the bytes; raises DeviceError if it does not."""
        port, deadline = self._port, self._clock() + TAKE_TIMEOUT_S
        while port.urgent_waits:
            left_s = deadline - self._clock()
            if left_s <= 0:
                raise DeviceError(
                    f"port '{port.id}': the device accepts no bytes; the stop will be the first "
                    "that it gets"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(port.progress.wait(), left_s)
        if not port.is_open:
            raise DeviceError(f"port '{port.id}' has no device: {port.reason}")

    async def _has_drained(self) -> bool:
        """Return whether the driver says that the bytes have left; it is not waited for long.

        Those of a program that follow them are not waited for.
        """
        port, deadline = self._port, self._clock() + DRAIN_TIMEOUT_S
        until_bytes = port.counters.written_bytes
        try:
            device = port.device
            while port.counters.written_bytes - device.unsent_bytes() < until_bytes:
                if self._clock() >= deadline:
                    return False
                await asyncio.sleep(_DRAIN_POLL_S)
            return await device.drain(0.0) is not Completion.ASSUMED_SUCCESS
        except DeviceError:
            return False

    def _carry_out(self, plan: StopPlan) -> bytes:
        port = self._port
        # A flush may take the line end that was written with it; a blank line harms nothing.
        ends_line = plan.own_line and (plan.flush or port.line_is_unfinished)
        if plan.flush:
            port.discard_driver_output()
        data = (b"\n" if ends_line else b"") + plan.data
        if data:
            port.write_urgent(data)
        if plan.drop_dtr:
            self._drop_dtr()
        return data

    def _drop_dtr(self) -> None:
        try:
            self._port.device.set_lines(dtr=False)
        except (DeviceError, NotSupportedError) as error:  # the bytes are on their way
            log.error("port '%s': the stop did not drop DTR: %s", self._port.id, error)


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
