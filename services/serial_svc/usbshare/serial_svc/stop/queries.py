"""Lines that move nothing: a program that only asks leaves a machine that rests at rest.

A line is known to be a query by its answer. What the device answers `[VER:` it has carried out as
`$I`, and not as the end of a line that it held before, in a comment of which `$I` may have been.
GRBL: github.com/gnea/grbl doc/markdown/interface.md. Marlin: marlinfw.org/docs/gcode/M115.html.
"""

from __future__ import annotations

from collections import deque

_ANSWERS = {
    b"$I": b"[VER:",
    b"$G": b"[GC:",
    b"$#": b"[G54:",
    b"$$": b"$0=",
    b"$N": b"$N0=",
    b"M115": b"FIRMWARE_NAME:",
}
_DONE = b"ok"
MOST_AWAITED = 64
LONGEST_LINE_BYTES = 512


class Queries:
    """Follows what a program writes to a machine at rest, and what that answers."""

    def __init__(self) -> None:
        self.is_work = False
        self._line = b""
        self._awaited: deque[bytes] = deque()
        self._is_answering = False
        self._heard = b""

    @property
    def begun_line(self) -> bytes:
        """What was begun of a line that is not ended; of a very long one its end."""
        return self._line.rpartition(b"\r")[2]

    def line_is_void(self) -> None:
        """Note that the device holds nothing of a line."""
        self._line = b""

    def wrote(self, data: bytes, *, may_ask: bool) -> None:
        """Note program bytes; without `may_ask` no line of this device is known to be a query."""
        text = self._line + data
        if len(text) > LONGEST_LINE_BYTES:
            self.is_work = True
        *whole, self._line = text[-LONGEST_LINE_BYTES:].split(b"\n")
        for line in whole:
            answer = _ANSWERS.get(line.strip().upper())
            if answer is None or not may_ask or len(self._awaited) == MOST_AWAITED:
                self.is_work = True
            else:
                self._awaited.append(answer)

    def works_on(self, data: bytes) -> None:
        """Note program bytes to a machine that works: no line matters but one that is begun."""
        end = data.rfind(b"\n") + 1
        self._line = (data[end:] if end else self._line + data)[-LONGEST_LINE_BYTES:]

    def works(self) -> None:
        """Note that the machine has more to do than to answer."""
        self.is_work = True

    def rests(self) -> None:
        """Note that the machine rests; a line that was begun is still begun."""
        self.is_work = self._is_answering = False
        self._awaited.clear()
        self._heard = b""

    def all_answered_by(self, data: bytes) -> bool:
        """Take what the device says; True if all there was were queries, now answered."""
        if self.is_work or not self._awaited:
            return False
        *lines, rest = (self._heard + data).split(b"\n")
        self._heard = rest[-LONGEST_LINE_BYTES:]
        for line in lines:
            self._answered(line.strip())
        return not self._awaited and not self._line

    def _answered(self, line: bytes) -> None:
        if self._awaited and line.startswith(self._awaited[0]):
            self._is_answering = True
        elif self._is_answering and line == _DONE:
            self._awaited.popleft()
            self._is_answering = False
