"""Reads small notes of the state folder, whatever lies in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_note(path: Path, most_bytes: int) -> bytes:
    """Return what a note says; raises OSError where it is no plain file.

    Blocks as long as the disk does, but waits for nobody who might write to a FIFO.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no plain file", str(path))
        return file.read(most_bytes)
