"""Real-time bytes of a port's profile, ahead of the queue or between its commands."""

from __future__ import annotations

import logging
from typing import Protocol

from usbshare.base.errors import InvalidArgumentError, PortLatchedError
from usbshare.line.profiles import Priority, Profile
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import StopAudit
from usbshare.serial_svc.stop.fence import Fence, Programs
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine

log = logging.getLogger(__name__)


class ProgramQueue(Protocol):
    """What one program queued."""

    def void_queue(self) -> None:
        """Drop it: the program has reset the machine."""


class Realtime:
    """Writes urgent bytes now, status polls when no command waits.

    While the port refuses programs, stops and polls are all that it writes, from whomever.
    """

    def __init__(
        self,
        line: Line,
        machine: Machine,
        lost_job: LostJob,
        fence: Fence,
        programs: Programs,
        audit: StopAudit,
    ) -> None:
        self._line = line
        self._machine = machine
        self._lost_job = lost_job
        self._fence = fence
        self._programs = programs
        self._audit = audit
        self._logged_epoch = 0

    def write(
        self,
        data: bytes,
        who: str,
        address: str = "",
        own: ProgramQueue | None = None,
        epoch: int = 0,
    ) -> None:
        """Write bytes. A reset among them voids what the program `own` queued.

        Without `own`, or in an epoch that has ended, a reset hits what other programs began: it
        voids what all of them queued and ends the epoch in force. What the port refuses is left
        out.

        Raises InvalidArgumentError for other bytes, DeviceError when the device takes none.
        """
        profile = self._line.profile
        if not profile.is_realtime(data):
            raise InvalidArgumentError(
                f"{data!r} contains bytes that are not real-time bytes of profile '{profile.name}'"
            )
        resets = profile.resets(data)
        if resets and self._line.latch.is_over(epoch):
            own = None
        written = self._allowed(profile, data)
        why_refused = self._lost_job.why_refused() if written != data else ""
        self._write(profile, written, resets=resets)
        if resets:  # the byte first
            self._was_reset(own)
        self._machine.sent(written)
        self._machine.holds.realtime(profile, written, who)
        if resets and own is None:
            self.end_epoch()  # what any program was doing cannot be gone on with
        elif resets:
            self._lost_job.was_reset(epoch)
        self._audit.realtime(who, address, profile, written)
        if why_refused:
            self._log_refused(f"of {data!r} from {who} only {written!r} was written: {why_refused}")

    def end_epoch(self) -> None:
        """Void what was sent so far, wherever it is, and notify everyone."""
        self._fence.end_epoch()
        self._line.changed()

    async def ready_for(self, data: bytes, epoch: int) -> None:
        """Open the device for bytes of an epoch.

        Raises DeviceError, PortLatchedError if the port refuses all of the bytes.
        """
        line = self._line
        await line.ensure_open()
        if not line.latch.is_over(epoch) and not self._allowed(line.profile, data):
            raise PortLatchedError(self._lost_job.why_refused())

    def still_meant(self, data: bytes, epoch: int) -> bytes:
        """Return what is carried out of bytes of an epoch: once it is over, stops."""
        line = self._line
        return line.profile.stops_in(data) if line.latch.is_over(epoch) else data

    def require_meant(self, data: bytes, epoch: int) -> bytes:
        """Return what is carried out of bytes; raises PortLatchedError if that is nothing."""
        meant = self.still_meant(data, epoch)
        if not meant:
            raise PortLatchedError(
                f"port '{self._line.id}': the bytes were sent in epoch {epoch}, which is over (the "
                f"port is in epoch {self._line.latch.epoch}); only stops are still carried out"
            )
        return meant

    def _was_reset(self, own: ProgramQueue | None) -> None:
        """Note that the machine is reset: nothing of before is left, or held."""
        if own is None:
            for program in self._programs:
                program.void_queue()
        else:
            own.void_queue()
        self._machine.nothing_left()
        self._lost_job.superseded()
        self._programs.release()

    def _allowed(self, profile: Profile, data: bytes) -> bytes:
        """Return what may be written of real-time bytes; other bytes are not looked at."""
        if not self._lost_job.refuses or not profile.is_realtime(data):
            return data
        return profile.stops_and_polls_in(data)

    def _log_refused(self, text: str) -> None:
        """Log that bytes were left out, once an epoch."""
        if (epoch := self._line.latch.epoch) != self._logged_epoch:
            self._logged_epoch = epoch
            log.warning("port '%s': %s", self._line.id, text)

    def _write(self, profile: Profile, data: bytes, *, resets: bool) -> None:
        line = self._line
        if resets:
            line.writer.discard()
        if profile.urgent_lines and data:
            ends_line = resets or line.writer.line_is_open
            line.writer.urgent(b"\n" + data if ends_line else data)
        else:
            self._write_bytes(profile, data)

    def _write_bytes(self, profile: Profile, data: bytes) -> None:
        """Let polls wait that no urgent byte follows; all others keep their order."""
        low = Priority.LOW
        polls = bytes(byte for byte, priority in profile.realtime.items() if priority is low)
        urgent = data.rstrip(polls) if polls else data
        if urgent:
            self._line.writer.urgent(urgent)
        if len(urgent) < len(data):
            self._line.writer.polite(data[len(urgent) :])
