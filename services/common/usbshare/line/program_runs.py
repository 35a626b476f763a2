"""Splits a program's bytes: G-code, which contains urgent bytes, and data that passes untouched.

An upload (XMODEM, YMODEM, esptool's SLIP, avrdude's STK500, Marlin's file transfer) may hold any
byte, so that a `!` in it is no stop. It gives itself away by bytes that cannot be G-code: control
characters such as NUL and SOH, or two bytes above 0x7F in a row that are neither UTF-8 nor urgent,
outside of a comment. From there on all passes, in order, until the line is G-code again: after
2 s without a byte, or after more lines of G-code than one block of an upload can hold. A stop that
is written meanwhile passes too and acts on the device; it only overtakes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from usbshare.line.gcode_text import is_gcode_line
from usbshare.line.profiles import Profile, Split

QUIET_S = 2.0
# An XMODEM-1k or YMODEM block holds 1024 bytes between its header and its checksum.
LEAST_GCODE_BYTES = 1100
LONGEST_LINE_BYTES = 512

# Not HT, LF, VT, FF, CR, ESC, BS, ^C, ^Z, XON and XOFF, which programs and people type; not what
# some firmware takes for urgent (0x18, 0x19).
_CONTROLS = bytes({*range(0x20)} - {3, 8, 9, 10, 11, 12, 13, 0x11, 0x13, 0x18, 0x19, 0x1A, 0x1B})
_SUSPECT = _CONTROLS + bytes(range(0x80, 0x100))
_NEXT_SUSPECT = re.compile(b"[" + re.escape(_SUSPECT) + b"]")
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_UTF8_CUT = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]{0,1}|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"
)
_CONTINUATIONS = re.compile(rb"[\x80-\xbf]*")


class Untouched(bytes):
    """Bytes of a program in which nothing is looked for, and of which nothing is taken out."""

    __slots__ = ()


class ProgramRuns:
    """Follows one program; used where its bytes come in order.

    `takes_lines`: urgent lines are taken out too, not urgent bytes alone.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, takes_lines: bool = True
    ) -> None:
        self._takes_lines = takes_lines
        self._profile: Profile | None = None
        self._notable = b""
        self.is_binary = False
        self._clock = clock
        self._last_at = 0.0
        self._line = b""
        self._gcode_bytes = 0
        self._awaited = 0

    def must_look(self, profile: Profile, data: bytes) -> bool:
        """Return whether these bytes are for `runs`; if not, they may pass, see `passed`."""
        if profile is not self._profile:
            self._profile, self._notable = profile, self._notable_of(profile)
        if not self._notable or type(data) is Untouched:
            return False
        if self.is_binary or self._awaited:
            return True
        if len(data.translate(None, self._notable)) != len(data):
            return True
        return bool(profile.urgent_lines) and profile.has_urgent(data)

    def passed(self, data: bytes) -> None:
        """Note bytes that need not be looked at; a comment may begin in them."""
        self._line = b"" if data.endswith(b"\n") else _last_line(self._line, data)

    def split(self, profile: Profile, data: bytes, at_line_start: bool = True) -> Split:
        """Take out of a program's bytes what overtakes it, and leave data untouched."""
        program, realtime, reset = b"", b"", False
        for run in self.runs(profile, data):
            if isinstance(run, Untouched):
                program += run
                continue
            begins = at_line_start if not program else program.endswith(b"\n")
            split = profile.split(run, begins)
            program = split.program if split.reset else program + split.program
            realtime, reset = realtime + split.realtime, reset or split.reset
        return Split(program, realtime, reset)

    def runs(self, profile: Profile, data: bytes) -> Iterator[bytes]:
        """Yield all of the bytes in order: text as it is, anything else as Untouched."""
        if not self._takes_out(profile):
            yield data
            return
        now = self._clock()
        if self.is_binary and now - self._last_at >= QUIET_S:
            self._begin_text()
        self._last_at = now
        while data:
            size = self._binary_size(profile, data) if self.is_binary else 0
            if size:
                yield Untouched(data[:size])
                data = data[size:]
                continue
            text, data = self._text_of(profile, data)
            yield from self._parts_of(profile, text)

    def _notable_of(self, profile: Profile) -> bytes:
        """Return the bytes that are urgent or no G-code, none if nothing is taken out."""
        return bytes(profile.realtime) + _SUSPECT if self._takes_out(profile) else b""

    def _takes_out(self, profile: Profile) -> bool:
        return bool(profile.realtime or (self._takes_lines and profile.urgent_lines))

    # G-code.

    def _begin_text(self) -> None:
        self.is_binary = False
        self._line, self._awaited = b"", 0

    def _text_of(self, profile: Profile, data: bytes) -> tuple[bytes, bytes]:
        """Return what of the bytes is text, and the rest, which then is binary."""
        mark = self._mark(profile, data)
        if mark is None:
            self._line = _last_line(self._line, data)
            return data, b""
        begin = data.rfind(b"\n", 0, mark) + 1
        self.is_binary, self._awaited = True, 0
        self._line, self._gcode_bytes = b"", 0
        return data[:begin], data[begin:]

    def _mark(self, profile: Profile, data: bytes) -> int | None:
        """Return the position of the first byte that cannot be G-code."""
        at = self._first_after_cut(data)
        while found := _NEXT_SUSPECT.search(data, at):
            at = found.start()
            if data[at] < 0x80:
                return at
            if character := _UTF8.match(data, at) or _UTF8_CUT.match(data, at):
                at = character.end()
            elif self._is_odd_pair(profile, data, at):
                return at
            else:
                at += 1
        return None

    def _first_after_cut(self, data: bytes) -> int:
        found = _CONTINUATIONS.match(data, 0, self._awaited)
        return found.end() if found else 0

    def _is_odd_pair(self, profile: Profile, data: bytes, at: int) -> bool:
        pair = data[at : at + 2]
        if len(pair) < 2 or pair[1] < 0x80 or all(byte in profile.realtime for byte in pair):
            return False
        before = data[data.rfind(b"\n", 0, at) + 1 : at]
        line = before if b"\n" in data[:at] else self._line + before
        return not _is_in_comment(line)

    def _parts_of(self, profile: Profile, text: bytes) -> Iterator[bytes]:
        """Yield text, but characters of UTF-8 that have urgent bytes in them as Untouched."""
        begin = self._first_after_cut(text)
        if begin:
            self._awaited = self._awaited - begin if begin == len(text) else 0
            yield Untouched(text[:begin])
        elif text:
            self._awaited = 0
        for found in _UTF8.finditer(text, begin):
            if not profile.has_realtime(found[0]):
                continue
            if begin < found.start():
                yield text[begin : found.start()]
            yield Untouched(found[0])
            begin = found.end()
        if begin < len(text):
            yield text[begin:]
        if cut := _UTF8_CUT.search(text):
            self._awaited = _length_of(cut[0][0]) - len(cut[0])

    # Anything else.

    def _binary_size(self, profile: Profile, data: bytes) -> int:
        """Return how many bytes pass before the line is G-code again."""
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            line = self._line + data[begin : end + 1]
            self._line = b""
            words = line.translate(None, bytes(profile.realtime))
            is_gcode = is_text(line) and is_gcode_line(words)
            self._gcode_bytes = self._gcode_bytes + len(line) if is_gcode else 0
            begin = end + 1
            if self._gcode_bytes >= LEAST_GCODE_BYTES:
                self._begin_text()
                return begin
        # A line that is too long is no G-code; its beginning says so at its end.
        self._line = (self._line + data[begin:])[:LONGEST_LINE_BYTES]
        if len(self._line) == LONGEST_LINE_BYTES:
            self._line = b"\x00" * LONGEST_LINE_BYTES
        return len(data)


def is_text(data: bytes) -> bool:
    """Return whether no control character that cannot be G-code is among the bytes."""
    return len(data.translate(None, _CONTROLS)) == len(data)


def _last_line(line: bytes, data: bytes) -> bytes:
    end = data.rfind(b"\n") + 1
    return (data[end:] if end else line + data)[-LONGEST_LINE_BYTES:]


def _is_in_comment(line: bytes) -> bool:
    return b";" in line or line.rfind(b"(") > line.rfind(b")")


def _length_of(lead: int) -> int:
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
