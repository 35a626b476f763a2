"""A job that cannot go on: programs are refused, and its machine is reset once it has come to rest.

Without the reset a later resume, by whomever, would carry out what the machine still holds of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from usbshare.base.errors import DeviceError, PortLatchedError
from usbshare.line.profiles import GCODE, Profile, StopAction
from usbshare.serial_svc.line.latch import LatchCause

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort

log = logging.getLogger(__name__)

POLL_S = 0.1
# For firmware that does not say whether it has come to rest; the longest deceleration is shorter.
REST_TIMEOUT_S = 5.0
# A report that began sooner may have crossed with what holds the machine.
CROSSING_S = 0.1
_STATUS = b"?"
# GRBL says of these that a reset raises no alarm, since the position is kept.
_AT_REST = frozenset({b"Idle", b"Hold:0", b"Door:0", b"Door:1", b"Alarm", b"Check", b"Sleep"})


class LostJob:
    """Latches one port until a person re-arms it or a program resets the machine.

    A latch that is released before the machine was reset still refuses programs until then.
    """

    def __init__(self, port: SerialPort, clock: Callable[[], float]) -> None:
        self._port = port
        self._clock = clock
        self._must_reset = False
        self._begun_at = 0.0
        self._profile = port.config.profile
        self._rested = asyncio.Event()
        self._resetting: asyncio.Task[None] | None = None

    @property
    def must_reset(self) -> bool:
        """Whether the machine still holds a part of the job, which must not go on."""
        return self._must_reset

    def begin(self, who: str, why: str, *, resets: bool) -> None:
        """Refuse programs from now on; with `resets`, reset the machine once it rests."""
        port = self._port
        if port.latch.record is None or port.latch.record.cause is LatchCause.JOB_LOST:
            port.latch.set(who, why, LatchCause.JOB_LOST)
        else:
            port.latch.advance()
        if port.is_open:  # else its loss fails what was queued
            port.fence()
        if resets and _reset_of(port.profile):
            self._must_reset, self._profile = True, port.profile
        self.device_opened()
        log.warning("port '%s' refuses programs: a job was lost: %s", port.id, why)
        port.audit.job_lost(who, why)
        port.watch.job_ended()
        port.crash_recovery.note_now()
        port.changed()

    def device_opened(self) -> None:
        """Begin to reset the machine, if that is due and there is one."""
        port = self._port
        if not self._must_reset or not port.is_open or port.is_closing or self._profile is None:
            return
        port.firmware.was(self._profile)  # on `auto` it is forgotten with the device
        self._begun_at = self._clock()
        self._rested.clear()
        if self._resetting is None or self._resetting.done():
            self._resetting = port.run(self._reset_at_rest(), "reset of a lost job")

    def reported(self, state: bytes, begun_at: float) -> None:
        """Look at what the machine says of itself."""
        if state in _AT_REST and begun_at - self._begun_at >= CROSSING_S:
            self._rested.set()

    def refuse_resume(self) -> None:
        """Raise PortLatchedError while the machine would go on with the lost job."""
        if self._must_reset:
            raise PortLatchedError(
                f"port '{self._port.id}': its job was lost and cannot continue; the machine is "
                "being reset"
            )

    def was_reset(self, epoch: int) -> None:
        """Note that the program in control has reset the machine: it starts over.

        That is known only of a reset of the epoch in force: another may be one of the job itself.
        """
        self.superseded()
        port, record = self._port, self._port.latch.record
        is_meant = epoch == port.epoch
        if is_meant and record is not None and record.cause is LatchCause.JOB_LOST:
            port.latch.release(port.epoch, port.id)
            port.changed()
            log.info("port '%s' accepts programs again: the machine was reset", port.id)

    def superseded(self) -> None:
        """Note that the machine was reset by something else."""
        self._must_reset = False
        self._rested.set()
        self._port.crash_recovery.note_now()

    async def _reset_at_rest(self) -> None:
        port = self._port
        await self._until_rest()
        if not self._must_reset or not port.is_open:
            return
        try:
            self._reset()
        except DeviceError as error:
            log.error("port '%s': a lost job's machine was not reset: %s", port.id, error)

    async def _until_rest(self) -> None:
        deadline = self._clock() + REST_TIMEOUT_S
        asks = ord(_STATUS) in self._port.profile.realtime
        while self._must_reset and not self._rested.is_set() and self._clock() < deadline:
            if asks:
                self._port.write_realtime(_STATUS)
            try:
                await asyncio.wait_for(self._rested.wait(), POLL_S)
            except TimeoutError:
                continue

    def _reset(self) -> None:
        port, reset = self._port, _reset_of(self._profile) if self._profile else b""
        port.discard_driver_output()
        port.write_urgent(reset)
        self._must_reset = False
        port.watch.nothing_left()
        state = port.watch.holds.machine_state or "it did not report it"
        log.warning("port '%s': reset the machine of a lost job (state: %s)", port.id, state)
        port.audit.job_reset(reset)
        port.changed()


def _reset_of(profile: Profile) -> bytes:
    """Return what resets the machine and harms no other that may be there; empty for nothing."""
    if profile.reset is not None:
        return bytes([profile.reset])
    # Firmware that nobody recognised: GRBL's relatives obey it, to others it is a bad line.
    return b"\x18\n" if profile.name == GCODE.name else b""


def resume_bytes(port: SerialPort) -> bytes:
    """Return what resumes the port's machine; empty where nothing does."""
    plan = port.profile.stops.get(StopAction.RESUME)
    return plan.data if plan is not None else b""
