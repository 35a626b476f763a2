"""What a program wrote to a USB serial port: passed on as it comes, ended only as it leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Writes:
    """Transfers with a program's bytes, in order. A transfer that has not ended makes it wait.

    Bytes are passed on as far as there is room, so that urgent ones among them are seen at once; a
    transfer is ended when all of its bytes have left, which `allow` says. `room_when_empty` is the
    room where everything has left.
    """

    def __init__(
        self,
        room_when_empty: int,
        pass_on: Callable[[bytes], None],
        end: Callable[[int, int], None],
    ) -> None:
        self._room_when_empty = self._room = room_when_empty
        self._pass_on = pass_on
        self._end = end
        self._writes: deque[_Write] = deque()
        self._passed_bytes = 0
        self._is_busy = False

    def allow(self, room: int) -> None:
        """Pass on at most so much at once; what is missing from the whole room has not left."""
        self._room = room
        self._go_on()

    def add(self, number: int, data: bytes) -> None:
        """Take a transfer."""
        self._writes.append(_Write(number, data))
        self._go_on()

    def remove(self, number: int) -> bool:
        """Forget a transfer that was taken back; returns whether bytes of it were passed on."""
        for write in self._writes:
            if write.number == number:
                self._writes.remove(write)
                return write.taken > 0
        return False

    def _go_on(self) -> None:
        if self._is_busy:  # the one that bytes are passed to changes the room
            return
        self._is_busy = True
        try:
            while self._pass_some():
                pass
            self._end_those_that_left()
        finally:
            self._is_busy = False

    def _pass_some(self) -> bool:
        write = next((each for each in self._writes if not each.is_passed), None)
        if write is None or self._room <= 0:
            return False
        piece = write.data[write.taken : write.taken + self._room]
        write.taken += len(piece)
        self._passed_bytes += len(piece)
        write.end = self._passed_bytes
        if piece:
            self._pass_on(piece)
        return True

    def _end_those_that_left(self) -> None:
        left = self._passed_bytes - max(0, self._room_when_empty - self._room)
        while self._writes and self._writes[0].is_passed and self._writes[0].end <= left:
            write = self._writes.popleft()
            self._end(write.number, len(write.data))


class _Write:
    """One transfer: how much of it was passed on, and where its end is in all that was."""

    def __init__(self, number: int, data: bytes) -> None:
        self.number = number
        self.data = data
        self.taken = 0
        self.end = -1

    @property
    def is_passed(self) -> bool:
        return self.end >= 0 and self.taken == len(self.data)
