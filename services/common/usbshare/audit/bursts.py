"""What one session sent in one go, a job or a command: counted and hashed, not kept.

`add` is called for a few commands at a time.
"""

from __future__ import annotations

import hashlib

QUIET_S = 5.0
LONGEST_S = 600.0
MOST_CONTENTS_BYTES = 32_768
_LINE_END = b"\n\r"
_LONGEST_LINE = 4096


class Burst:
    """Sums up program bytes that follow each other without a pause."""

    def __init__(self, *, keeps_contents: bool = False) -> None:
        self.commands = 0
        self.bytes = 0
        self.began_at = self.last_at = 0.0
        self._newlines = self._returns = 0
        self._first = b""
        self._last = b""
        self._contents: list[bytes] | None = [] if keeps_contents else None

    def add(self, data: bytes, now: float, commands: int = 1, since: float | None = None) -> None:
        """Note bytes that came in so many commands, the first `since` then; cut anywhere."""
        if not self.commands:
            self.began_at = now if since is None else since
        self.commands += commands
        self.bytes += len(data)
        self.last_at = now
        self._newlines += data.count(b"\n")
        if not self._newlines:  # a program that ends its lines by a carriage return alone
            self._returns += data.count(b"\r")
        if self._last[-1:] not in _LINE_END:
            self._last = _end_of(self._last + data)
        elif data.strip():
            self._last = _end_of(data)
        if self._first[-1:] != b"\n":
            self._begin(data)
        if self._contents is not None:
            self._contents.append(data)

    def is_over(self, now: float) -> bool:
        """Return whether it has been quiet for long enough."""
        return now - self.last_at >= QUIET_S

    def is_long(self) -> bool:
        """Return whether it is to be reported before it is over."""
        too_much = self._contents is not None and self.bytes >= MOST_CONTENTS_BYTES
        return too_much or self.last_at - self.began_at >= LONGEST_S

    def fields(self) -> dict[str, object]:
        """Return what to note: how much, how long, and the hashes of the first and last line.

        A hash is the SHA-256 of the line without its end; a first or last line that is longer
        than 4096 bytes is taken for that many of its first or last bytes.
        """
        contents = None if self._contents is None else _text(self._contents)
        return {
            "commands": self.commands,
            "bytes": self.bytes,
            "lines": (self._newlines or self._returns) + (self._last[-1:] not in _LINE_END),
            "seconds": round(self.last_at - self.began_at, 3),
            "first_sha256": _hash((_lines_of(self._first) or [b""])[0]),
            "last_sha256": _hash((_lines_of(self._last) or [b""])[-1]),
            "contents": contents,
        }

    def _begin(self, data: bytes) -> None:
        """Keep the first line until it is whole; a newline at the end says that it is."""
        first = (self._first + data).lstrip(_LINE_END)[:_LONGEST_LINE]
        lines = _lines_of(first)
        is_whole = len(first) == _LONGEST_LINE or len(lines) > 1 or first[-1:] in _LINE_END
        self._first = lines[0] + b"\n" if lines and is_whole else b"".join(lines)


def _end_of(data: bytes) -> bytes:
    """Return what the last line can be found in: many blank lines may follow it."""
    if len(data) <= 2 * _LONGEST_LINE:
        return data
    line = data.rstrip(_LINE_END)
    return data[: len(line) + 1][-_LONGEST_LINE:]


def _lines_of(data: bytes) -> list[bytes]:
    """Return the lines that are not empty, without their ends."""
    return [line for line in data.replace(b"\r", b"\n").split(b"\n") if line]


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _text(contents: list[bytes]) -> list[str]:
    """Return the lines as text, a character a byte."""
    return b"".join(contents).decode("latin-1").splitlines()
