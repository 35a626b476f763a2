"""What goes to the service in order: runs of program bytes, and requests between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.client.serial.messages import Configure, Goodbye, HoldBreak
from usbshare.line.program_runs import Untouched


class _UntouchedRun(bytearray):
    """Program bytes that wait, and pass untouched."""


class OrderedMessages(deque[bytearray | Configure | HoldBreak | Goodbye]):
    """A queue of them; bytes that pass untouched share no run with others.

    `program_bytes` counts what waits of the program. Bytes are added by `add` and `add_first`.
    """

    program_bytes = 0

    def add(self, data: bytes) -> None:
        """Add program bytes at the end."""
        kind = _kind(data)
        if self and type(self[-1]) is kind:
            self[-1] += data
        else:
            self.append(kind(data))
        self.program_bytes += len(data)

    def add_first(self, data: bytes) -> None:
        """Add program bytes before all else."""
        self.appendleft(_kind(data)(data))
        self.program_bytes += len(data)

    def take(self, run: bytearray, most_bytes: int) -> bytes:
        """Take bytes from the run that is first."""
        data = run[:most_bytes]
        del run[:most_bytes]
        if not run:
            self.popleft()
        self.program_bytes -= len(data)
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
    return _UntouchedRun if isinstance(data, Untouched) else bytearray
