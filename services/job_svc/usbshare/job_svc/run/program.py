"""A job's program as lines to send, over its passes; the file is read in a thread."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from usbshare.analysis.program_lines import program_lines
from usbshare.analysis.worker_process import preamble_aside
from usbshare.base.errors import LimitError
from usbshare.base.threads import in_thread
from usbshare.line.flow.gcode_line import bare

LINES_A_READ = 512
BEGINNING_TIMEOUT_S = 60.0
_MOVES = re.compile(rb"[XYZABCUVWIJKR]\s*[-+.\d]", re.IGNORECASE)
BEAM_OFF = b"M5"
_SPINDLE = re.compile(rb"M\+?0*([345])(?:\.0*)?(?![\d.])")
# Text to be shown may have any words in it.
_SHOWS = re.compile(rb"(?:N\d+)?M11[78]")


@dataclass(frozen=True, slots=True)
class Step:
    """A line to send. `lines`, `size_bytes`: of the program up to its end, over all passes.

    `number`: in the file, 0 for what is not in it. `moves`: it may fill blocks of the planner.
    """

    code: bytes
    number: int
    run: int
    lines: int
    size_bytes: int
    moves: bool

    def __str__(self) -> str:
        where = f"line {self.number}" if self.number else "a line that is not in the file"
        return f"{where}: {self.code[:60].decode('ascii', errors='replace')}"


async def beginning(path: Path, first_line: int) -> tuple[bytes, ...]:
    """Return what is to be sent before a line; InvalidArgumentError where that cannot be known."""
    if first_line <= 1:
        return ()
    try:
        lines = await preamble_aside(path, first_line, timeout_s=BEGINNING_TIMEOUT_S)
    except LimitError as error:
        raise LimitError(
            f"what comes before line {first_line} could not be determined within "
            f"{BEGINNING_TIMEOUT_S:g} s: the file has too many lines before it"
        ) from error
    return tuple(line.encode("ascii") for line in lines)


async def require_beginning(path: Path, first_line: int) -> None:
    """Raise InvalidArgumentError unless a job can begin with that line."""
    await beginning(path, first_line)


@dataclass(frozen=True, slots=True)
class Program:
    """A file and how it is run; `before` is sent first, when it begins within the file.

    A file that leaves the beam on is followed by what turns it off: nobody may be there.
    """

    path: Path
    passes: int = 1
    first_line: int = 1
    before: tuple[bytes, ...] = ()

    async def steps(self) -> AsyncIterator[list[Step]]:
        """Yield what is to be sent, in groups; raises OSError."""
        steps = self._steps()
        while group := await in_thread(lambda: list(islice(steps, LINES_A_READ))):
            yield group

    def _steps(self) -> Iterator[Step]:
        lines = size = 0
        is_on = False
        for code in self.before:
            is_on = leaves_beam_on(code, is_on)
            yield Step(code, 0, 1, 0, 0, bool(_MOVES.search(code)))
        for run in range(1, self.passes + 1):
            for line in program_lines(self.path):
                lines += 1
                size += line.size_bytes
                is_before = run == 1 and line.number < self.first_line
                if line.code and not is_before:
                    is_on = leaves_beam_on(line.code, is_on)
                    moves = _MOVES.search(line.code) is not None
                    yield Step(line.code, line.number, run, lines, size, moves)
        if is_on:
            yield Step(BEAM_OFF, 0, self.passes, lines, size, False)


def leaves_beam_on(code: bytes, is_on: bool) -> bool:
    """Return whether the beam or spindle is on after a line, if it was so before it.

    What ends a program turns it off only in some firmware, and so does not count.
    """
    words = bare(code)
    if words == b"$SLP":
        return False
    found = _SPINDLE.findall(words)
    if not found or _SHOWS.match(words):
        return is_on
    return bool(found[-1] != b"5")
