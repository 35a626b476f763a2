"""The stop: acts on a port's machine at once, ahead of every queue, lock and timer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usbshare.common.errors import DeviceError, NotSupportedError
from usbshare.common.line import Completion
from usbshare.common.profiles import StopAction, StopPlan

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 1.0
DRAIN_TIMEOUT_S = 0.1
_DRAIN_POLL_S = 0.001


@dataclass(frozen=True, slots=True)
class StopRecord:
    """What a stop did, with times since the call.

    `write_delay_s` is until the driver had the bytes, `drain_delay_s` until they had left the host,
    None where nobody can tell. `caller_left` while it was carried out: if the device had not
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
        self, action: StopAction, who: str, why: str = "", address: str = ""
    ) -> StopRecord:
        """Stop the machine; an emergency stop fences what was sent before and latches the port.

        Raises NotSupportedError where the profile has no bytes for it, DeviceError where there is
        no device or it takes no bytes. What was begun is told also if the caller leaves.
        """
        witness, begun = self._port.witness, _Begun(self._clock())
        try:
            record = await self._stop(action, who, begun)
        except (DeviceError, NotSupportedError) as error:
            witness.stop_failed(action, who, address, why, str(error))
            raise
        except asyncio.CancelledError:
            self._caller_left(action, who, why, address, begun)
            raise
        _log_stop(action, self._port.id, who, why, record)
        witness.stopped(action, who, address, why, record)
        return record

    def _caller_left(
        self, action: StopAction, who: str, why: str, address: str, begun: _Begun
    ) -> None:
        port = self._port
        if begun.sent is None:
            error = "its caller left before there was a device; nothing was sent"
            log.error("%s on port '%s' by %s FAILED: %s", action.value, port.id, who, error)
            port.witness.stop_failed(action, who, address, why, error)
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
        )
        _log_stop(action, port.id, who, why, record)
        port.witness.stopped(action, who, address, why, record)

    def _since(self, begun: _Begun) -> float:
        return self._clock() - begun.at

    async def _stop(self, action: StopAction, who: str, begun: _Begun) -> StopRecord:
        port = self._port
        plan = port.profile.stop_plan(action)
        if not port.is_open:
            await port.ensure_open()
        begun.fenced = port.fence() if action is StopAction.EMERGENCY_STOP else 0
        try:
            begun.sent = sent = self._carry_out(plan)
            await self._until_taken()
        except DeviceError as error:
            log.error("%s on port '%s' by %s FAILED: %s", action.value, port.id, who, error)
            raise
        finally:
            port.stopped()
        begun.write_delay_s = write_delay_s = self._since(begun)
        port.counters.stop_write_time.add(write_delay_s)
        drain_delay_s = self._since(begun) if await self._has_drained() else None
        return StopRecord(
            port.epoch, port.latched, sent, begun.fenced, write_delay_s, drain_delay_s
        )

    def rearm(self, who: str, address: str = "") -> int:
        """Release the latch; returns the epoch in force."""
        if self._port.unlatch():
            log.warning("port '%s' re-armed by %s", self._port.id, who)
            self._port.witness.rearmed(who, address, self._port.epoch)
        return self._port.epoch

    async def _until_taken(self) -> None:
        """Wait until the device has taken the bytes; raises DeviceError if it does not."""
        port, deadline = self._port, self._clock() + TAKE_TIMEOUT_S
        while port.urgent_waits:
            left_s = deadline - self._clock()
            if left_s <= 0:
                raise DeviceError(
                    f"port '{port.id}': the device takes no bytes; "
                    "the stop will be the first that it gets"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(port.progress.wait(), left_s)
        if not port.is_open:
            raise DeviceError(f"port '{port.id}' has no device: {port.reason}")

    async def _has_drained(self) -> bool:
        """Tell whether the driver says that the bytes have left; it is not waited for long.

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
            port.device.set_lines(dtr=False)
        return data


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
        return f"(its caller left {after}; the device had not taken it yet)"
    if record.caller_left:
        return f"{after} (its caller left before they had drained)"
    drain_s = record.drain_delay_s
    return after if drain_s is None else f"{after} (drained after {drain_s * 1e3:.3f} ms)"
