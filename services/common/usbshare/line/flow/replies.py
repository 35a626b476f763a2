"""Parts what a device sends into the replies to our lines and everything else.

GRBL: gnea/grbl doc/markdown/interface.md; only `ok` and `error:` answer a line, whatever else
comes (reports, `[…]`, `>G54:ok`, `ALARM:`) is pushed. Marlin: MarlinFirmware/Marlin
Marlin/src/gcode/queue.cpp: each line gets an `ok`, also after an `Error:`; a line that came
damaged is asked for again by `Resend:`, and the `ok` after that ends the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

LONGEST_LINE_BYTES = 512


class Kind(Enum):
    """What a line of a device says; the first four answer lines."""

    OK = "ok"
    ERROR = "error"
    COMPLAINT = "complaint"  # an error that an `ok` follows
    RESEND = "resend"
    ALARM = "alarm"
    WELCOME = "welcome"
    REPORT = "report"
    BUILD = "build"
    MESSAGE = "message"
    WAIT = "wait"
    BUSY = "busy"


REPLIES = frozenset({Kind.OK, Kind.ERROR, Kind.COMPLAINT, Kind.RESEND})


@dataclass(frozen=True, slots=True)
class Said:
    """A whole line of the device, without its end."""

    kind: Kind
    text: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family of firmware speaks: the first pattern that matches a line says what it is.

    No reply begins otherwise than with one of `starts`.
    """

    patterns: tuple[tuple[Kind, re.Pattern[bytes]], ...]
    starts: tuple[bytes, ...]

    def kind_of(self, line: bytes) -> Kind | None:
        """Return what a line is, None for nothing that matters."""
        return next((kind for kind, pattern in self.patterns if pattern.match(line)), None)

    def may_reply(self, begun: bytes) -> bool:
        """Return whether a line that begins so may become a reply."""
        return any(begun.startswith(start) or start.startswith(begun) for start in self.starts)


GRBL_DIALECT = Dialect(
    (
        (Kind.OK, re.compile(rb"ok$")),
        (Kind.ERROR, re.compile(rb"error:")),
        (Kind.REPORT, re.compile(rb"<")),
        (Kind.ALARM, re.compile(rb"ALARM:")),
        (Kind.BUILD, re.compile(rb"\[OPT:")),
        (Kind.MESSAGE, re.compile(rb"\[MSG:")),
        (Kind.WELCOME, re.compile(rb"Grbl(?:HAL)? v?\d")),
    ),
    (b"ok", b"error:"),
)
MARLIN_DIALECT = Dialect(
    (
        (Kind.OK, re.compile(rb"ok(?![A-Za-z])")),
        (Kind.RESEND, re.compile(rb"(?:Resend:|rs\b)", re.IGNORECASE)),
        (Kind.ALARM, re.compile(rb"Error:.*(?:halted|kill\(\))", re.IGNORECASE)),
        (Kind.COMPLAINT, re.compile(rb"(?:Error:|!! )", re.IGNORECASE)),
        (Kind.WELCOME, re.compile(rb"start$")),
        (Kind.WAIT, re.compile(rb"wait$")),
        # Marlin/src/gcode/gcode.cpp, host_keepalive: every 2 s while a line is carried out.
        (Kind.BUSY, re.compile(rb"(?:echo:\s*)?busy:")),
    ),
    (b"ok", b"Resend:", b"resend:", b"rs", b"Error:", b"error:", b"!! "),
)


class ReplySplitter:
    """Takes a device's bytes, split arbitrarily; replies are kept back, all else passes in order.

    `expects` says whether a reply may come: what begins to come before that is none.
    """

    def __init__(self, dialect: Dialect, expects: Callable[[], bool]) -> None:
        self._dialect = dialect
        self._expects = expects
        self._line = bytearray()
        self._kept = bytearray()
        self._keeps = False

    def feed(self, data: bytes) -> Iterator[bytes | Said]:
        """Yield what passes, and each line that matters once it is whole.

        Act on a line before the next is asked for.
        """
        begin = 0
        while begin < len(data):
            if not self._line:
                self._keeps = self._expects()
            end = data.find(b"\n", begin) + 1
            piece = data[begin : end or len(data)]
            begin += len(piece)
            self._line += piece
            if end:
                yield from self._whole(piece)
            elif passed := self._begun(piece):
                yield passed

    def _begun(self, piece: bytes) -> bytes:
        """Take a part of a line; return what of it passes."""
        if len(self._line) > LONGEST_LINE_BYTES:
            del self._line[LONGEST_LINE_BYTES:]
        if not self._keeps:
            return piece
        self._kept += piece
        begun = bytes(self._line).lstrip(b"\r \t")
        if self._dialect.may_reply(begun) and len(self._kept) < LONGEST_LINE_BYTES:
            return b""
        self._keeps = False
        return self._release()

    def _whole(self, piece: bytes) -> Iterator[bytes | Said]:
        is_short = len(self._line) <= LONGEST_LINE_BYTES
        text = bytes(self._line[:LONGEST_LINE_BYTES]).strip(b"\r\n\t ")
        self._line.clear()
        kind = self._dialect.kind_of(text) if text else None
        passed = self._release() + piece
        if self._keeps and is_short and kind in REPLIES:
            yield Said(kind, text)
            return
        yield passed
        if kind is not None and kind not in REPLIES:
            yield Said(kind, text)

    def _release(self) -> bytes:
        kept = bytes(self._kept)
        self._kept.clear()
        return kept
