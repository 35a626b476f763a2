"""Opens and reads plain files only: what hangs, has no end or is a device is never waited for.

A FIFO in place of a file would block its opener indefinitely, and opening a device can move it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MOST_BYTES = 4_000_000
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read; raises OSError, also where it is no plain file."""
    _require_plain(path, path.stat())
    file = open(os.open(path, _FLAGS), "rb")  # noqa: SIM115 - the caller's to close
    try:
        _require_plain(path, os.fstat(file.fileno()))  # it may be another by now
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return all that a file holds; raises OSError, also where it is no plain file, or too long.

    Blocks as long as the disk does, but for nobody who might write to a FIFO.
    """
    with open_plain(path) as file:
        found = file.read(most_bytes + 1)
    if len(found) > most_bytes:
        raise OSError(0, f"it has more than {most_bytes} bytes", str(path))
    return found


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """Return the JSON object in a file; raises OSError, and ValueError where it holds none."""
    with open_plain(path) as file:
        text = file.read(most_bytes + 1)
    import json  # noqa: PLC0415 - a stop that reads none does not wait for it

    if len(text) > most_bytes:
        raise ValueError(f"more than {most_bytes} bytes")
    try:
        found = json.loads(text.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _require_plain(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        # With that number it is an IsADirectoryError, which some callers want to distinguish.
        number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else 0
        raise OSError(number, "it is not a regular file", str(path))
