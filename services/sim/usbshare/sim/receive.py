"""GRBL's receiving end: the real-time bytes, the ring buffer and the line that is read from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

RX_BUFFER_BYTES = 128
LINE_CHARACTERS = 79

_REALTIME = re.compile(rb"[?!~\x18\x80-\xff]")
_COMMENT = re.compile(rb"[(;]")
_UPPER = bytes(range(128)).upper() + bytes(range(128, 256))
_SKIPPED = bytes(range(33)) + b"/"


def split_realtime(data: bytes) -> Iterator[tuple[bytes, int | None]]:
    """Yield runs of ordinary bytes, each with the real-time byte that ends it."""
    start = 0
    for match in _REALTIME.finditer(data):
        yield data[start : match.start()], data[match.start()]
        start = match.end()
    if start < len(data):
        yield data[start:], None


def clean_line(line: bytes) -> bytes:
    """Return a line as the main loop keeps it: capitals, no blanks, no comments."""
    if _COMMENT.search(line):
        line = _without_comments(line, 0)[0]
    return line.translate(_UPPER, _SKIPPED)


def has_realtime(line: bytes) -> bool:
    """Return whether a line contains bytes that act at once and never reach the parser."""
    return _REALTIME.search(line) is not None


class ReceiveBuffer:
    """The bytes between the line's interrupt and the main loop."""

    def __init__(self, size_bytes: int = RX_BUFFER_BYTES) -> None:
        self._size_bytes = size_bytes
        self._bytes = bytearray()

    @property
    def free(self) -> int:
        """How many bytes still fit."""
        return self._size_bytes - len(self._bytes)

    def put(self, data: bytes) -> int:
        """Store what fits and return how many bytes that was."""
        taken = data[: self.free]
        self._bytes += taken
        return len(taken)

    def clear(self) -> None:
        """Drop all bytes."""
        self._bytes.clear()

    def __bool__(self) -> bool:
        return bool(self._bytes)

    def take_past_line_end(self) -> tuple[bytes, bool]:
        """Remove and return the bytes before the next line end, and whether there was one."""
        ends = [at for at in (self._bytes.find(b"\n"), self._bytes.find(b"\r")) if at >= 0]
        end = min(ends, default=-1)
        taken = bytes(self._bytes) if end < 0 else bytes(self._bytes[:end])
        del self._bytes[: len(self._bytes) if end < 0 else end + 1]
        return taken, end >= 0


class LineReader:
    """Reads lines as the main loop does: no blanks, no comments, capitals, at most 79."""

    def __init__(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer
        self._was_overflow = False
        self.reset()

    def reset(self) -> None:
        """Forget a line that has not ended."""
        self._line = bytearray()
        self._comment = 0
        self._overflow = False

    def next_line(self) -> str | None:
        """Read on and return a whole line; None when the buffer ran dry first."""
        while self._buffer:
            data, ended = self._buffer.take_past_line_end()
            self._append(data)
            if ended:
                line = self._line.decode("ascii")
                self._was_overflow = self._overflow
                self.reset()
                return line
        return None

    @property
    def overflowed(self) -> bool:
        """Whether the line returned last was too long, and must not be executed."""
        return self._was_overflow

    def _append(self, data: bytes) -> None:
        if self._comment or _COMMENT.search(data):
            data, self._comment = _without_comments(data, self._comment)
        self._line += data.translate(_UPPER, _SKIPPED)
        if len(self._line) > LINE_CHARACTERS:
            self._overflow = True
            del self._line[LINE_CHARACTERS:]


def _without_comments(data: bytes, comment: int) -> tuple[bytes, int]:
    """Return the bytes outside comments, and what began the one that has not ended, else 0."""
    kept = bytearray()
    for byte in data:
        if comment:
            if byte == ord(")") and comment == ord("("):
                comment = 0
        elif byte in b"(;":
            comment = byte
        else:
            kept.append(byte)
    return bytes(kept), comment
