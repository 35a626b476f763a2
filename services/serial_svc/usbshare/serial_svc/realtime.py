"""Real-time bytes of a port's profile, ahead of the queue or between its commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from usbshare.common.errors import InvalidArgumentError
from usbshare.common.profiles import Priority, Profile, StopAction
from usbshare.serial_svc.writer import PortWriter

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort
    from usbshare.serial_svc.session import Session


class Realtime:
    """Writes urgent bytes now, status polls when no command waits."""

    def __init__(self, port: SerialPort, writer: PortWriter) -> None:
        self._port = port
        self._writer = writer

    def write(self, data: bytes, voided: Iterable[Session]) -> None:
        """Write bytes; a reset among them voids what those sessions queued.

        Raises InvalidArgumentError for other bytes, DeviceError when the device takes none.
        """
        profile = self._port.profile
        if not profile.is_realtime(data):
            raise InvalidArgumentError(
                f"{data!r} has bytes that are no real-time bytes of profile '{profile.name}'"
            )
        if resets := profile.resets(data):
            for session in voided:
                session.void_queue()
            self._writer.discard()
            self._port.activity.stopped()
            self._port.watch.person_resumed()
        if profile.urgent_lines:
            ends_line = resets or self._port.line_is_unfinished
            self._port.write_urgent(b"\n" + data if ends_line else data)
        else:
            self._write_bytes(profile, data)

    def _write_bytes(self, profile: Profile, data: bytes) -> None:
        polite = bytes(b for b in data if profile.realtime[b] is Priority.LOW)
        urgent = bytes(b for b in data if profile.realtime[b] is not Priority.LOW)
        if urgent:
            self._port.write_urgent(urgent)
        if polite:
            self._writer.polite(polite)

    def written(self, data: bytes) -> None:
        """Note urgent bytes that were written: a person's resume lets go on what was held."""
        resume = self._port.profile.stops.get(StopAction.RESUME)
        if resume is not None and resume.data and data.endswith(resume.data):
            self._port.watch.person_resumed()
