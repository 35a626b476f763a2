"""One session's real-time bytes: they come by two ways, and go out in order, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from usbshare.base.errors import DeviceError, InvalidArgumentError, PermissionDeniedError
from usbshare.line.profiles import Profile
from usbshare.line.program_runs import ProgramRuns, Untouched, is_text
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.client import OBSERVES, Client, Command, Mode
from usbshare.serial_svc.stop.realtime import ProgramQueue, Realtime

LARGEST_REALTIME_BYTES = 64
LARGEST_NUMBER = 1 << 62
MOST_MISSED = 1024


class OwnRealtime:
    """Carries out what has not been; what comes late only if it stops the machine.

    `number` is the highest that came, `reset_number` that of the last reset: what the session's
    program wrote before it is void.
    """

    def __init__(
        self,
        client: Client,
        queue: ProgramQueue,
        line: Line,
        realtime: Realtime,
        clock: Callable[[], float],
    ) -> None:
        self.number = 0
        self.reset_number = 0
        self._client = client
        self._queue = queue
        self._line = line
        self._realtime = realtime
        self._missed: set[int] = set()
        self._runs = ProgramRuns(clock, takes_lines=False)

    def overtake(self, data: bytes, first_number: int = 0, epoch: int = 0) -> None:
        """Write bytes ahead of the queue; a reset among them voids what the session queued.

        Of those of an ended epoch only the stops are written; epoch 0 means unknown.

        Raises InvalidArgumentError for bytes that may not be, DeviceError when none are taken,
        PermissionDeniedError for a session that only observes.
        """
        if self._client.mode is not Mode.CONTROL:
            raise PermissionDeniedError(OBSERVES)
        if not 1 <= len(data) <= LARGEST_REALTIME_BYTES:
            raise InvalidArgumentError(f"realtime.data has {len(data)} bytes; 1 to 64 are allowed")
        if first_number > LARGEST_NUMBER:
            raise InvalidArgumentError(f"first_number is {first_number}; numbers start at 1")
        if first_number:
            self._write_due(data, first_number, epoch)
        elif meant := self._realtime.still_meant(data, epoch):
            self._hand_over(meant, epoch)

    def in_stream(self, data: bytes, first_number: int = 0, epoch: int = 0) -> None:
        """Do so for bytes of its stream: void without a device, which the session is told."""
        with self._without_device():
            self.overtake(data, first_number, epoch)

    def must_take_out(self, data: bytes) -> bool:
        """Return whether a command is for `take_out`; data of an upload passes as it is."""
        return self._runs.must_look(self._line.firmware.profile, data)

    def take_out(self, command: Command) -> Command:
        """Write what overtakes a command, and return the rest.

        One of an ended epoch is void but for its stops: a stop is carried out at any age.
        """
        profile, data = self._line.profile, command.data
        if command.epoch != self._line.latch.epoch:
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
            self._queue.void_queue()
        return after_reset < self.reset_number

    def _write_due(self, data: bytes, first_number: int, epoch: int) -> None:
        profile = self._line.profile
        units = list(enumerate(profile.pieces(data, 1), first_number))
        due = [(number, unit) for number, unit in units if self._is_due(number, unit)]
        due = [(number, unit) for number, unit in due if self._realtime.still_meant(unit, epoch)]
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
            self._realtime.end_epoch()

    def _is_due(self, number: int, unit: bytes) -> bool:
        if number > self.number:
            first = max(self.number + 1, number - MOST_MISSED)
            self._missed.update(range(first, number))
            self.number = number
            return True
        if number not in self._missed:
            return False
        self._missed.remove(number)
        return self._line.profile.is_emergency(unit)

    def _write_pieces(self, profile: Profile, data: bytes, epoch: int) -> None:
        with self._without_device():
            for piece in profile.pieces(data, LARGEST_REALTIME_BYTES):
                self._hand_over(piece, epoch)

    def _hand_over(self, data: bytes, epoch: int) -> None:
        client = self._client
        self._realtime.write(data, client.identity, client.peer, self._queue, epoch)

    @contextmanager
    def _without_device(self) -> Iterator[None]:
        try:
            yield
        except DeviceError:
            if self._line.is_open:
                raise
