"""Answers a program as a GRBL that executes everything at once would, and keeps what it sent."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import IO

from usbshare.base.errors import LimitError
from usbshare.sim.grbl import GrblController
from usbshare.sim.receive import clean_line, split_realtime
from usbshare.sim.record import Record

MAX_BYTES = 1_000_000_000
# Less than the simulated receive buffer: no program can be too fast for it.
_PIECE = re.compile(rb"[^\r\n]{0,99}[\r\n]|[^\r\n]{1,100}")
_END = re.compile(rb"M0*(?:2|30)(?![\d.])")
# Of the firmware's own commands only homing and settings belong in a job.
_KEPT_COMMANDS = re.compile(rb"\$(?:H|\d+=)")
_LONGEST_LINE_BYTES = 4096
_RESET = 0x18


class Ending(Enum):
    """Why a capture ended."""

    PROGRAM_END = "M2 or M30"
    CLOSED = "port closed"
    INTERRUPTED = "interrupted"


class Capture:
    """Takes what a program writes; lines that are answered with `ok` go into a file.

    Rejected lines are left out, as on a machine, and so are queries and jogs. A reset
    by the program voids what it sent before.
    """

    def __init__(self, file: IO[bytes], settings: Mapping[int, float] | None = None) -> None:
        self._file = file
        self._controller = GrblController(Record(limit=0))
        for number, value in (settings or {}).items():
            self._controller.machine.settings.store(number, value)
        self._now_s = 0.0
        self._line = bytearray()
        self._was_cr = False
        # None: the second half of a line end, answered and not kept.
        self._unanswered: deque[bytes | None] = deque()
        self.lines = 0
        self.size_bytes = 0
        self.rejected = 0
        self.has_ended = False

    def connect(self) -> bytes:
        """Reset the controller, as opening its port does; return its banner."""
        self._void()
        self._controller.hard_reset(self._now_s)
        return self._live()

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return the controller's answer; LimitError above the size limit."""
        output = bytearray()
        for ordinary, urgent in split_realtime(data):
            for piece in _PIECE.findall(ordinary):
                self._note(piece)
                output += self._give(piece)
            if urgent is not None:
                if urgent == _RESET:
                    self._void()
                output += self._give(bytes([urgent]))
        return bytes(output)

    def _note(self, piece: bytes) -> None:
        self._line += piece[: _LONGEST_LINE_BYTES - len(self._line)]
        end = piece[-1:]
        if end not in b"\r\n":
            self._was_cr = False
            return
        line = bytes(self._line).strip(b"\r\n")
        is_half = end == b"\n" and self._was_cr and not line
        self._unanswered.append(None if is_half else line)
        self._line.clear()
        self._was_cr = end == b"\r"

    def _give(self, data: bytes) -> bytes:
        self._controller.receive(data, self._now_s)
        output = self._live()
        for answer in output.split(b"\r\n"):
            if answer == b"ok":
                self._accepted(self._unanswered.popleft())
            elif answer.startswith(b"error:"):
                self._unanswered.popleft()
                self.rejected += 1
        return output

    def _live(self) -> bytes:
        """Let time jump until the controller waits for the program."""
        output = self._controller.advance(self._now_s)
        while (due_s := self._controller.next_event_s()) is not None:
            self._now_s = due_s
            output += self._controller.advance(due_s)
        return output

    def _accepted(self, line: bytes | None) -> None:
        if line is None or self.has_ended:
            return
        text = clean_line(line)
        if text.startswith(b"$") and _KEPT_COMMANDS.match(text) is None:
            return
        if self.size_bytes + len(line) >= MAX_BYTES:
            raise LimitError(f"the program has sent more than {MAX_BYTES / 1e6:.0f} MB")
        self._file.write(line + b"\n")
        self.lines += 1
        self.size_bytes += len(line) + 1
        self.has_ended = _END.search(text) is not None

    def _void(self) -> None:
        if self.has_ended:
            return
        self._unanswered.clear()
        self._line.clear()
        self._file.seek(0)
        self._file.truncate()
        self.lines = self.size_bytes = self.rejected = 0
