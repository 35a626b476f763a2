"""Real-time bytes of a port's profile, ahead of the queue or between its commands."""

from __future__ import annotations

from typing import Protocol

from usbshare.base.errors import InvalidArgumentError, PortLatchedError
from usbshare.line.profiles import Priority, Profile
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import StopAudit
from usbshare.serial_svc.stop.fence import Fence, Programs
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine, resume_bytes


class ProgramQueue(Protocol):
    """What one program queued."""

    def void_queue(self) -> None:
        """Drop it: the program has reset the machine."""


class Realtime:
    """Writes urgent bytes now, status polls when no command waits."""

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
        voids what all of them queued and ends the epoch in force. Bytes that would resume a lost
        job are left out.

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
        written = self._write(profile, data, resets=resets)
        if resets:  # the byte first
            self._was_reset(own)
        self._machine.sent(written)
        self._machine.holds.realtime(profile, written, who)
        if resets and own is None:
            self.end_epoch()  # what any program was doing cannot be gone on with
        elif resets:
            self._lost_job.was_reset(epoch)
        self._audit.realtime(who, address, profile, data)

    def end_epoch(self) -> None:
        """Void what was sent so far, wherever it is, and notify everyone."""
        self._fence.end_epoch()
        self._line.changed()

    async def ready_for(self, data: bytes) -> None:
        """Open the device; raises DeviceError, PortLatchedError for what resumes a lost job."""
        await self._line.ensure_open()
        if resume_bytes(self._line.profile) == data:
            self._lost_job.refuse_resume()

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

    def _write(self, profile: Profile, data: bytes, *, resets: bool) -> bytes:
        """Write what may be written, and return it."""
        line = self._line
        if self._lost_job.must_reset and (resume := resume_bytes(profile)):
            data = data.replace(resume, b"")
        if resets:
            line.writer.discard()
        if profile.urgent_lines and data:
            ends_line = resets or line.writer.line_is_open
            line.writer.urgent(b"\n" + data if ends_line else data)
        else:
            self._write_bytes(profile, data)
        return data

    def _write_bytes(self, profile: Profile, data: bytes) -> None:
        """Let polls wait that no urgent byte follows; all others keep their order."""
        low = Priority.LOW
        polls = bytes(byte for byte, priority in profile.realtime.items() if priority is low)
        urgent = data.rstrip(polls) if polls else data
        if urgent:
            self._line.writer.urgent(urgent)
        if len(urgent) < len(data):
            self._line.writer.polite(data[len(urgent) :])
