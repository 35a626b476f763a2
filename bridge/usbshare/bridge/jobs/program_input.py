"""The file of a job as a command line names it; `-` is what is piped in."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from usbshare.analysis.analyse import MAX_BYTES
from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.jobs.piped import keep_piped

PIPE = "-"


@dataclass(frozen=True, slots=True)
class ProgramInput:
    """A file on the disk, and its name for people."""

    path: Path
    name: str


@contextmanager
def program_input(file: str) -> Iterator[ProgramInput]:
    """Open a file, or keep what is piped in as one until the block ends.

    A file that is refused in the block is named: InvalidArgumentError begins with it.
    """
    name = "standard input" if file == PIPE else Path(file).name
    try:
        if file != PIPE:
            yield ProgramInput(Path(file), name)
            return
        with tempfile.TemporaryDirectory(prefix="usbshare-") as folder:
            path = Path(folder) / "piped.nc"
            with path.open("wb") as kept:  # closed before others open it: Windows asks for that
                keep_piped(sys.stdin.buffer, kept, "the pipe", MAX_BYTES)
            yield ProgramInput(path, name)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error
