"""A job that cannot go on: programs are refused, and its machine is reset once it has come to rest.

Without the reset a later resume, by whomever, would carry out what the machine still holds of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.base.errors import DeviceError, PortLatchedError
from usbshare.base.waits import set_within
from usbshare.line.profiles import GCODE, Profile
from usbshare.serial_svc.line.latch import LatchCause
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import StopAudit
from usbshare.serial_svc.stop.fence import Fence
from usbshare.serial_svc.stop.machine import Machine

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

    def __init__(
        self,
        line: Line,
        machine: Machine,
        fence: Fence,
        audit: StopAudit,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._line = line
        self._machine = machine
        self._fence = fence
        self._audit = audit
        self._clock = clock
        self._on_change = on_change
        self._must_reset = self._is_closing = False
        self._begun_at = 0.0
        self._profile = line.config.profile
        self._rested = asyncio.Event()
        self._resetting: asyncio.Task[None] | None = None

    @property
    def must_reset(self) -> bool:
        """Whether the machine still holds a part of the job, which must not go on."""
        return self._must_reset

    @property
    def refuses(self) -> bool:
        """Whether program bytes are refused: latched, or a lost job's machine is to be reset."""
        return self._line.latch.record is not None or self._must_reset

    def why_refused(self) -> str:
        """Return why program bytes are refused, and what to do."""
        name, record = f"port '{self._line.id}'", self._line.latch.record
        if record is None:
            return f"{name} has lost a job; its machine is being reset first"
        if record.cause is LatchCause.JOB_LOST:
            return f"{name} has lost a job; re-arm it or reset the machine first: {record}"
        return f"{name} is latched by a stop; re-arm it first: stopped by {record}"

    def begin(self, who: str, why: str, *, resets: bool) -> None:
        """Refuse programs from now on; with `resets`, reset the machine once it rests."""
        line, latch = self._line, self._line.latch
        if latch.cause in (None, LatchCause.JOB_LOST):
            latch.set(who, why, LatchCause.JOB_LOST)
        else:
            latch.advance()
        if line.is_open:  # else its loss fails what was queued
            self._fence.drop()
        if resets and _reset_of(line.profile):
            self._must_reset, self._profile = True, line.profile
        self.device_opened()
        log.warning("port '%s' refuses programs: a job was lost: %s", line.id, why)
        self._audit.job_lost(who, why)
        self._machine.program_voided()
        self._on_change()
        line.changed()

    def device_opened(self) -> None:
        """Begin to reset the machine, if that is due and there is one."""
        line = self._line
        if not self._must_reset or not line.is_open or self._is_closing or self._profile is None:
            return
        line.firmware.was(self._profile)  # on `auto` it is forgotten with the device
        self._begun_at = self._clock()
        self._rested.clear()
        if self._resetting is None or self._resetting.done():
            self._resetting = line.keeper.run(self._reset_at_rest(), "reset of a lost job")

    async def until_reset(self) -> None:
        """Return once the machine is reset, if it is being reset: 5 s at the latest."""
        while self._must_reset and self._resetting is not None and not self._resetting.done():
            await asyncio.wait((self._resetting,))

    def close(self) -> None:
        """Begin no reset any more: the service is stopping."""
        self._is_closing = True

    def reported(self, state: bytes, begun_at: float) -> None:
        """Note the state of a report that began at that monotonic time."""
        if state in _AT_REST and begun_at - self._begun_at >= CROSSING_S:
            self._rested.set()

    def refuse_resume(self) -> None:
        """Raise PortLatchedError while programs are refused: no machine continues before that."""
        if self.refuses:
            raise PortLatchedError(self.why_refused())

    def was_reset(self, epoch: int) -> None:
        """Note that the program in control has reset the machine: it starts over.

        That is known only of a reset of the epoch in force: another may be one of the job itself.
        """
        self.superseded()
        line, latch = self._line, self._line.latch
        if epoch == latch.epoch and latch.cause is LatchCause.JOB_LOST:
            latch.release(latch.epoch, line.id)
            line.changed()
            log.info("port '%s' accepts programs again: the machine was reset", line.id)

    def superseded(self) -> None:
        """Note that the machine was reset by something else."""
        self._must_reset = False
        self._rested.set()
        self._on_change()

    async def _reset_at_rest(self) -> None:
        await self._until_rest()
        if not self._must_reset or not self._line.is_open:
            return
        try:
            self._reset()
        except DeviceError as error:
            log.error("port '%s': a lost job's machine was not reset: %s", self._line.id, error)

    async def _until_rest(self) -> None:
        deadline = self._clock() + REST_TIMEOUT_S
        asks = ord(_STATUS) in self._line.profile.realtime
        while self._must_reset and not self._rested.is_set() and self._clock() < deadline:
            if asks:
                self._line.writer.polite(_STATUS)
            await set_within(self._rested, POLL_S)

    def _reset(self) -> None:
        line, reset = self._line, _reset_of(self._profile) if self._profile else b""
        line.writer.discard()
        line.writer.urgent(reset)
        self._must_reset = False
        self._machine.was_reset()
        self._machine.nothing_left()
        state = self._machine.holds.machine_state or "it did not report it"
        log.warning("port '%s': reset the machine of a lost job (state: %s)", line.id, state)
        self._audit.job_reset(reset)
        line.changed()


def _reset_of(profile: Profile) -> bytes:
    """Return what resets the machine and harms no other that may be there; empty for nothing."""
    if profile.reset is not None:
        return bytes([profile.reset])
    # Unrecognised firmware: GRBL's relatives obey it, to others it is a bad line.
    return b"\x18\n" if profile.name == GCODE.name else b""
