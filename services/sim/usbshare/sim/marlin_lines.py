"""Marlin's receiving end: lines, line numbers, checksums and the emergency parser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

LINE_CHARACTERS = 95

_NUMBERED = re.compile(r"N\s*(-?\d+)")
_URGENT = re.compile(rb" *(?:N[0-9 -]*)?M *(108|112|410)")
_WORD = re.compile(r"([A-Z])\s*([+-]?(?:\d+\.?\d*|\.\d+))?")


class Urgent(Enum):
    """Commands that act as soon as their line has arrived, ahead of the queue."""

    CONTINUE = b"108"
    KILL = b"112"
    QUICK_STOP = b"410"


class EmergencyParser:
    """Watches the raw bytes for urgent commands, each on a separate line."""

    def __init__(self) -> None:
        self._line = bytearray()

    def feed(self, byte: int) -> Urgent | None:
        """Take a byte and return the urgent command whose line it ended."""
        if byte not in b"\r\n":
            if len(self._line) < LINE_CHARACTERS:
                self._line.append(byte)
            return None
        match = _URGENT.match(bytes(self._line))
        self._line.clear()
        return Urgent(match[1]) if match else None


class LineError(Exception):
    """A numbered line that must be sent again; the text is Marlin's."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its words; `name` is such as `G1`."""

    name: str
    text: str
    words: dict[str, float]


class LineChecker:
    """Checks line numbers and checksums; a line without a number needs neither."""

    def __init__(self) -> None:
        self.last_number = 0

    def check(self, line: str) -> str:
        """Return the line without number and checksum; raises LineError."""
        match = _NUMBERED.match(line)
        if match is None:
            return line
        if "M110" in line:
            self.last_number = _last_number(line)
        elif int(match[1]) != self.last_number + 1:
            raise LineError("Line Number is not Last Line Number+1")
        self._check_sum(line)
        self.last_number = _last_number(line) if "M110" in line else int(match[1])
        return line[match.end() : line.rindex("*")].strip()

    def _check_sum(self, line: str) -> None:
        body, star, given = line.rpartition("*")
        if not star:
            raise LineError("No Checksum with line number")
        total = 0
        for byte in body.encode("latin-1"):
            total ^= byte
        if given.strip() != str(total):
            raise LineError("checksum mismatch")


def parse_command(text: str) -> Command:
    """Parse a command; letters without a number count as 0."""
    body = text.partition(";")[0].upper().strip()
    words = {letter: float(value or 0) for letter, value in _WORD.findall(body)}
    name = body.split(" ", 1)[0]
    match = re.match(r"[GM]\s*\d+", body)
    return Command(match[0].replace(" ", "") if match else name, text, words)


def _last_number(line: str) -> int:
    return int(_NUMBERED.findall(line.partition("*")[0])[-1])
