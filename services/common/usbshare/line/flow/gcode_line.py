"""One line of a program as GRBL reads it.

gnea/grbl grbl/protocol.c (blanks, `/` and comments are skipped), doc/markdown/interface.md (what
writes or reads the EEPROM while the serial interrupt is off, and so must be sent alone).
"""

from __future__ import annotations

import re

_COMMENT = re.compile(rb"\([^)\r\n]*\)?|;[^\r\n]*")
_SKIPPED = bytes(range(33)) + b"/"
_UPPER = bytes(range(128)).upper() + bytes(range(128, 256))
# Coordinate systems are read when they are chosen, and written by G10, G28.1 and G30.1.
_EEPROM_WORD = re.compile(rb"G0*(?:10|(?:28|30)\.10*|5[4-9](?:\.\d)?)(?![\d.])")
_DWELL = re.compile(rb"G0*4(?![\d.])")
_SECONDS = re.compile(rb"P(\d+\.?\d*|\.\d+)")
_WHOLE_SECONDS = re.compile(rb"S(\d+\.?\d*|\.\d+)")
_JOG = b"$J="


def is_one_line(data: bytes) -> bool:
    """Return whether bytes are one line with its end, LF or CR LF, and nothing after it."""
    text = data.removesuffix(b"\n").removesuffix(b"\r")
    return data.endswith(b"\n") and b"\n" not in text and b"\r" not in text


def without_comments(line: bytes) -> bytes:
    """Return a line without its comments."""
    return _COMMENT.sub(b"", line)


def bare(line: bytes) -> bytes:
    """Return what of a line is obeyed: in capitals, without blanks, comments and line end."""
    return without_comments(line).translate(_UPPER, _SKIPPED)


def goes_alone(line: bytes) -> bool:
    """Return whether GRBL must have nothing else in its buffer while it obeys a line."""
    words = bare(line)
    if words.startswith(b"$"):
        return not words.startswith(_JOG)
    return b"G" in words and _EEPROM_WORD.search(words) is not None


def dwell_s(line: bytes) -> float:
    """Return for how long a line lets the machine stand still with nothing to do."""
    words = bare(line)
    if _DWELL.search(words) is None:
        return 0.0
    found = _SECONDS.search(words)
    return float(found[1]) if found else 0.0


def marlin_dwell_s(line: bytes) -> float:
    """Return the same for Marlin, which counts P in milliseconds and S in seconds (its G4.cpp)."""
    words = bare(line)
    if _DWELL.search(words) is None:
        return 0.0
    if (found := _WHOLE_SECONDS.search(words)) is not None:
        return float(found[1])
    found = _SECONDS.search(words)
    return float(found[1]) / 1000 if found else 0.0
