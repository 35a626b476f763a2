"""One session's real-time bytes: they come by two ways, and go out in order, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from usbshare.base.errors import DeviceError, InvalidArgumentError, PortLatchedError
from usbshare.line.profiles import Profile
from usbshare.line.program_runs import ProgramRuns, Untouched, is_text
from usbshare.serial_svc.sessions.client import Command

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort
    from usbshare.serial_svc.sessions.session import Session

LARGEST_REALTIME_BYTES = 64
LARGEST_NUMBER = 1 << 62
MOST_MISSED = 1024


class OwnRealtime:
    """Carries out what has not been; what comes late only if it stops the machine.

    `number` is the highest that came, `reset_number` that of the last reset: what the session's
    program wrote before it is void.
    """

    def __init__(
        self, session: Session, port: SerialPort, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.number = 0
        self.reset_number = 0
        self._session = session
        self._port = port
        self._missed: set[int] = set()
        self._runs = ProgramRuns(clock, takes_lines=False)

    def write(self, data: bytes, first_number: int = 0, epoch: int = 0) -> None:
        """Write bytes; a reset among them voids what the session queued.

        Of those of an ended epoch only the stops are written; epoch 0 is not told.

        Raises InvalidArgumentError for bytes that may not be, DeviceError when none are taken.
        """
        if not 1 <= len(data) <= LARGEST_REALTIME_BYTES:
            raise InvalidArgumentError(f"realtime.data has {len(data)} bytes; 1 to 64 are allowed")
        if first_number > LARGEST_NUMBER:
            raise InvalidArgumentError(f"first_number is {first_number}; numbers start at 1")
        if first_number:
            self._write_due(data, first_number, epoch)
        elif meant := still_meant(self._port, data, epoch):
            self._hand_over(meant, epoch)

    def in_stream(self, data: bytes, first_number: int = 0, epoch: int = 0) -> None:
        """Do so for bytes of its stream: void without a device, of which the session is told."""
        with self._without_device():
            self.write(data, first_number, epoch)

    def must_take_out(self, data: bytes) -> bool:
        """Return whether a command is for `take_out`; data of an upload passes as it is."""
        return self._runs.must_look(self._port.profile, data)

    def take_out(self, command: Command) -> Command:
        """Write what overtakes a command, and return the rest.

        One of an ended epoch is void but for its stops: a stop is carried out at any age.
        """
        profile, data = self._port.profile, command.data
        if command.epoch != self._port.epoch:
            stops = profile.stops_in(self._overtakes(profile, data))
            self._write_pieces(profile, stops, command.epoch)
            return command
        if not self.must_take_out(data):
            return command
        split = self._runs.split(profile, data)
        self._write_pieces(profile, split.realtime, command.epoch)
        return command._replace(data=split.program)

    def _overtakes(self, profile: Profile, data: bytes) -> bytes:
        """Return all that overtakes in a command that will not be written: urgent lines too."""
        if self.must_take_out(data):
            return self._runs.split(profile, data).realtime
        may_look = profile.urgent_lines and not isinstance(data, Untouched) and is_text(data)
        return profile.split(data).realtime if may_look else b""

    def is_void(self, after_reset: int) -> bool:
        """Return whether bytes that were written after that reset were so before a later one.

        Where the reset itself never came, at least what was written before it is void.
        """
        if after_reset > self.reset_number:
            self.reset_number = after_reset
            self._session.void_queue()
        return after_reset < self.reset_number

    def _write_due(self, data: bytes, first_number: int, epoch: int) -> None:
        port, profile = self._port, self._port.profile
        units = list(enumerate(profile.pieces(data, 1), first_number))
        due = [(number, unit) for number, unit in units if self._is_due(number, unit)]
        due = [(number, unit) for number, unit in due if still_meant(port, unit, epoch)]
        resets = [number for number, unit in due if profile.resets(unit)]
        is_late = any(number <= self.reset_number for number in resets)
        self.reset_number = max(resets, default=self.reset_number)
        if not due:
            return
        try:
            self._hand_over(b"".join(unit for _, unit in due), epoch)
        except DeviceError:
            self._missed.update(number for number, _ in due)
            raise
        if is_late:  # the program has gone on from a reset that had not come: it must not
            port.end_epoch()
            port.changed()

    def _is_due(self, number: int, unit: bytes) -> bool:
        if number > self.number:
            first = max(self.number + 1, number - MOST_MISSED)
            self._missed.update(range(first, number))
            self.number = number
            return True
        if number not in self._missed:
            return False
        self._missed.remove(number)
        return self._port.profile.is_emergency(unit)

    def _write_pieces(self, profile: Profile, data: bytes, epoch: int) -> None:
        with self._without_device():
            for piece in profile.pieces(data, LARGEST_REALTIME_BYTES):
                self._hand_over(piece, epoch)

    def _hand_over(self, data: bytes, epoch: int) -> None:
        """Write bytes as those of the session.

        A reset of an ended epoch is nobody's of this one, which it ends, since it hits whatever
        has begun in it.
        """
        port, client = self._port, self._session.client
        is_late = port.latch.is_over(epoch) and port.profile.resets(data)
        port.write_realtime(data, None if is_late else self._session, client.identity, epoch)
        port.audit.realtime(client.identity, client.peer, port.profile, data)

    @contextmanager
    def _without_device(self) -> Iterator[None]:
        try:
            yield
        except DeviceError:
            if self._port.is_open:
                raise


def still_meant(port: SerialPort, data: bytes, epoch: int) -> bytes:
    """Return what is carried out of real-time bytes of an epoch: once it is over, stops."""
    return port.profile.stops_in(data) if port.latch.is_over(epoch) else data


def require_meant(port: SerialPort, data: bytes, epoch: int) -> bytes:
    """Return what is carried out of real-time bytes; PortLatchedError if that is nothing."""
    meant = still_meant(port, data, epoch)
    if not meant:
        raise PortLatchedError(
            f"port '{port.id}': the bytes were sent in epoch {epoch}, which is over (the port "
            f"is in epoch {port.epoch}); only stops are still carried out"
        )
    return meant
