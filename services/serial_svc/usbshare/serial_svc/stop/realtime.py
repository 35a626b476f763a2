"""Real-time bytes of a port's profile, ahead of the queue or between its commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.line.profiles import Priority, Profile, StopAction
from usbshare.serial_svc.line.writer import PortWriter
from usbshare.serial_svc.stop.lost_job import resume_bytes

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort
    from usbshare.serial_svc.sessions.session import Session


class Realtime:
    """Writes urgent bytes now, status polls when no command waits."""

    def __init__(self, port: SerialPort, writer: PortWriter) -> None:
        self._port = port
        self._writer = writer

    def write(self, data: bytes, voided: Iterable[Session], who: str) -> None:
        """Write bytes; a reset among them voids what those sessions queued.

        Those that would resume a lost job are left out.

        Raises InvalidArgumentError for other bytes, DeviceError when the device takes none.
        """
        profile = self._port.profile
        if not profile.is_realtime(data):
            raise InvalidArgumentError(
                f"{data!r} contains bytes that are not real-time bytes of profile '{profile.name}'"
            )
        watch = self._port.watch
        if watch.lost_job.must_reset and (resume := resume_bytes(self._port)):
            data = data.replace(resume, b"")
        resets = profile.resets(data)
        if resets:
            self._writer.discard()
        if profile.urgent_lines and data:
            ends_line = resets or self._port.line_is_unfinished
            self._urgently(b"\n" + data if ends_line else data)
        else:
            self._write_bytes(profile, data)
        if resets:  # the byte first
            for session in voided:
                session.void_queue()
            watch.machine_reset()
        self._written(data)
        watch.holds.realtime(profile, data, who)

    def _write_bytes(self, profile: Profile, data: bytes) -> None:
        """Let polls wait that no urgent byte follows; all others keep their order."""
        low = Priority.LOW
        polls = bytes(byte for byte, priority in profile.realtime.items() if priority is low)
        urgent = data.rstrip(polls) if polls else data
        if urgent:
            self._urgently(urgent)
        if len(urgent) < len(data):
            self._writer.polite(data[len(urgent) :])

    def urgent(self, data: bytes) -> None:
        """Write bytes of a stop ahead of everything; raises DeviceError."""
        self._urgently(data)
        self._written(data)

    def _urgently(self, data: bytes) -> None:
        try:
            self._writer.urgent(data)
        except DeviceError as error:
            raise DeviceError(f"port '{self._port.id}': {error}") from error

    def _written(self, data: bytes) -> None:
        """Let what was held go on if a person resumed, and did not stop again after it."""
        if _resumes(self._port.profile, data):
            self._port.watch.person_resumed()


def _resumes(profile: Profile, data: bytes) -> bool:
    plan = profile.stops.get(StopAction.RESUME)
    if plan is None or not plan.data:
        return False
    if not (profile.realtime or profile.urgent_lines):
        return data.endswith(plan.data)
    _, resume, after = data.rpartition(plan.data)
    units = profile.pieces(after, 1) if after else []
    return bool(resume) and not any(profile.is_emergency(unit) for unit in units)
