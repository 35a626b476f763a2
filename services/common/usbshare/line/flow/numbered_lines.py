"""Lines with numbers and checksums, which firmware asks for again when they came damaged.

reprap.org/wiki/G-code (N and *), MarlinFirmware/Marlin Marlin/src/gcode/queue.cpp: the checksum is
the XOR of all bytes before the `*`, each number is one more than the last, and M110 sets the last.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor

from usbshare.line.flow.gcode_line import without_comments

_ASKED = re.compile(rb"(?:resend:|rs)\s*:?\s*N?(\d+)", re.IGNORECASE)
_ANSWERED = re.compile(rb"ok\s+N(\d+)")
FIRST = b"M110 N0"


def numbered(line: bytes, number: int) -> bytes:
    """Return a line with its number, its checksum and an end; its comments are left out."""
    body = b"N%d %b" % (number, without_comments(line).strip())
    return b"%b*%d\n" % (body, reduce(xor, body, 0))


def asked_number(resend: bytes) -> int | None:
    """Return the number of the line that is asked for again."""
    found = _ASKED.match(resend)
    return int(found[1]) if found else None


def answered_number(ok: bytes) -> int | None:
    """Return the number of the line that an `ok` names, None where it names none."""
    found = _ANSWERED.match(ok)
    return int(found[1]) if found else None
