"""What goes to the service: urgent messages first, then program bytes and requests in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from usbshare.client.serial.messages import (
    Acknowledge,
    Configure,
    Goodbye,
    Heartbeat,
    HoldBreak,
    Message,
    SendRealtime,
)
from usbshare.client.serial.realtime_lane import Unit, in_messages, units_of
from usbshare.line.profiles import Profile
from usbshare.line.program_runs import Untouched


class UrgentMessages(deque[Message]):
    """A queue of them; real-time bytes among them can be looked at and replaced."""

    def realtime(self, profile: Profile) -> list[Unit]:
        """Return the real-time bytes that wait."""
        waiting = (each for each in self if isinstance(each, SendRealtime))
        return [unit for each in waiting for unit in units_of(each, profile)]

    def put_realtime(self, units: Iterable[Unit]) -> None:
        """Let these alone wait of the real-time bytes, after all else."""
        others = [message for message in self if not isinstance(message, SendRealtime)]
        self.clear()
        self.extend([*others, *in_messages(units)])

    def drop_signs_of_life(self) -> None:
        """Drop what has its time."""
        kept = [message for message in self if not isinstance(message, Heartbeat | Acknowledge)]
        self.clear()
        self.extend(kept)

    def next(self, *, realtime: bool) -> int | None:
        """Return which message may go, real-time bytes perhaps not."""
        if realtime:
            return 0 if self else None
        may_go = (not isinstance(message, SendRealtime) for message in self)
        return next((index for index, may in enumerate(may_go) if may), None)


class WholeLine(bytes):
    """A line that goes in a message of its own, also when it goes again."""


class _UntouchedRun(bytearray):
    """Program bytes that wait, and pass untouched."""


class _LineRun(bytearray):
    """A line that waits, and goes whole."""


class OrderedMessages(deque[bytearray | Configure | HoldBreak | Goodbye]):
    """A queue of them; bytes that pass untouched, and whole lines, share no run with others.

    `program_bytes` counts what waits of the program. Bytes are added by `add` and `add_first`.
    """

    program_bytes = 0

    def add(self, data: bytes) -> None:
        """Add program bytes at the end."""
        kind = _kind(data)
        if self and type(self[-1]) is kind and kind is not _LineRun:
            self[-1] += data
        else:
            self.append(kind(data))
        self.program_bytes += len(data)

    def add_first(self, data: bytes) -> None:
        """Add program bytes before all else."""
        self.appendleft(_kind(data)(data))
        self.program_bytes += len(data)

    def take(self, run: bytearray, most_bytes: int) -> bytes:
        """Take bytes from the run that is first; a whole line whole."""
        if isinstance(run, _LineRun):
            most_bytes = len(run)
        data = run[:most_bytes]
        del run[:most_bytes]
        if not run:
            self.popleft()
        self.program_bytes -= len(data)
        if isinstance(run, _LineRun):
            return WholeLine(data)
        return Untouched(data) if isinstance(run, _UntouchedRun) else bytes(data)

    def drop_program(self) -> int:
        """Drop all bytes of the program; returns how many."""
        self._keep(lambda each: not isinstance(each, bytearray))
        dropped, self.program_bytes = self.program_bytes, 0
        return dropped

    def drop_breaks(self) -> None:
        """Drop the breaks."""
        self._keep(lambda each: not isinstance(each, HoldBreak))

    def _keep(self, is_kept: Callable[[object], bool]) -> None:
        kept = [each for each in self if is_kept(each)]
        self.clear()
        self.extend(kept)


def _kind(data: bytes) -> type[bytearray]:
    if isinstance(data, WholeLine):
        return _LineRun
    return _UntouchedRun if isinstance(data, Untouched) else bytearray
