"""Reads small files of the state folder; anything but a plain file is an error."""

from __future__ import annotations

from pathlib import Path

from usbshare.base.plain_file import open_plain


def read_note(path: Path, most_bytes: int) -> bytes:
    """Return what a note says; raises OSError where it is no plain file.

    Blocks as long as the disk does, but never waits for a writer of a FIFO.
    """
    with open_plain(path) as file:
        return file.read(most_bytes)
