"""What a line of G-code looks like, whatever firmware it is for."""

from __future__ import annotations

import re

# One command that machines obey, on a separate line, all of it text.
_COMMAND = re.compile(
    rb"^[ \t]*(?:N\d+[ \t]*)?[GM]\d{1,3}(?:\.\d)?(?![\d.])[ -~\t]*\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
# Words, comments, a checksum; or a `$` command; or nothing.
_LINE = re.compile(
    rb"[ \t]*(?:/?(?:[A-Z][ \t]*[-+]?(?:\d+\.?\d*|\.\d+)[ \t]*|\([^()\n]*\)[ \t]*)*(?:\*[ \t]*\d+)?"
    rb"|\$[ -~]*|%)[ \t]*(?:;[^\n]*)?\r?\n",
    re.IGNORECASE,
)


def has_gcode(data: bytes) -> bool:
    """Return whether a program's bytes contain a line that is a whole command of G-code."""
    return _COMMAND.search(data) is not None


def is_gcode_line(line: bytes) -> bool:
    """Return whether all of a line, with its end, may be part of a G-code program."""
    return _LINE.fullmatch(line) is not None
