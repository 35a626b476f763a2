"""Whether a file is G-code at all: checked while it arrives, a piece at a time.

The analysis judges what its lines mean. This module refuses what no machine may be sent: bytes that
a firmware would obey at once wherever they are, and files that are something else.
"""

from __future__ import annotations

import re

from usbshare.analysis.program_lines import BOM, code_of
from usbshare.base.errors import InvalidArgumentError

LONGEST_LINE_BYTES = 1024
_LOOKED_AT_BYTES = 64 * 1024
_NEVER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Bytes that firmware obeys at once; in a comment they are harmless, since comments are not sent.
_URGENT = re.compile(rb"[!?~\x80-\xff]")
_END = re.compile(rb"\r\n|\n|\r")
# A word (letter, number), a setting or command of the firmware, or a macro of a firmware that has
# any: what a text, a page or a table is not.
_CODE = re.compile(rb"[/\s]*(?:[A-Za-z]\s*[-+.\d]|\$|%|#\d)")


class ProgramCheck:
    """Takes a file in pieces; `finish` returns how many lines it has."""

    def __init__(self) -> None:
        self._lines = 0
        self._offset = 0
        self._rest = b""
        self._looked_at = 0
        self._first_other = b""
        self._has_code = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece; raises InvalidArgumentError where the file cannot be G-code."""
        self._require_text(piece)
        text = self._rest + piece
        at = 0
        # A CR at the end may be the half of a CRLF.
        end = len(text) - 1 if text.endswith(b"\r") else len(text)
        for match in _END.finditer(text, 0, end):
            self._line(text[at : match.start()])
            at = match.end()
        self._rest = text[at:]
        self._offset += len(piece)
        if len(self._rest) > LONGEST_LINE_BYTES:
            self._too_long(self._rest)

    def finish(self) -> int:
        """Return the number of lines; raises InvalidArgumentError for a file without G-code."""
        if self._rest:
            self._line(self._rest.removesuffix(b"\r"))
            self._rest = b""
        if not self._has_code:
            shown = self._first_other[:40].decode("ascii", errors="replace")
            what = f"; it begins with {shown!r}" if shown else ""
            raise InvalidArgumentError(f"the file contains no G-code{what}: save it as G-code")
        return self._lines

    def _require_text(self, piece: bytes) -> None:
        if (found := _NEVER.search(piece)) is not None:
            byte, offset = found[0][0], self._offset + found.start()
            why = "NUL, as binary files and UTF-16 have" if byte == 0 else "a control character"
            raise InvalidArgumentError(
                f"the file is not G-code: byte {offset} is 0x{byte:02x} ({why}); save it as plain "
                "text"
            )

    def _line(self, line: bytes) -> None:
        self._lines += 1
        if len(line) > LONGEST_LINE_BYTES:
            self._too_long(line)
        if self._lines == 1:
            line = line.removeprefix(BOM)
        if _URGENT.search(line) is not None:
            self._require_harmless(code_of(line))
        if not self._has_code and self._looked_at < _LOOKED_AT_BYTES:
            self._look(code_of(line))
            self._looked_at += len(line) + 1

    def _require_harmless(self, code: bytes) -> None:
        found = _URGENT.search(code)
        # `$`-lines of grbl's descendants may ask with `?`; everywhere else it is a real-time byte.
        if found is not None:
            byte = found[0][0]
            shown = f"'{chr(byte)}'" if byte < 0x80 else f"byte 0x{byte:02x}"
            raise InvalidArgumentError(
                f"line {self._lines}: {shown} outside a comment: the firmware would obey it at "
                "once; remove it from the file"
            )

    def _look(self, code: bytes) -> None:
        if _CODE.match(code) is not None:
            self._has_code = True
        elif not self._first_other:
            self._first_other = code

    def _too_long(self, line: bytes) -> None:
        number = self._lines if line is not self._rest else self._lines + 1
        raise InvalidArgumentError(
            f"line {number} has more than {LONGEST_LINE_BYTES} bytes: no firmware accepts such a "
            "line; is the file G-code?"
        )
