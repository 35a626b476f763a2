"""A file that a page sends, kept on this computer's disk until its host has it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from usbshare.base.errors import InvalidArgumentError, LimitError, UsbshareError
from usbshare.base.os_errors import in_words
from usbshare.base.threads import in_thread

KEPT_FREE_BYTES = 256 * 1024 * 1024
LONGEST_NAME_BYTES = 200


class SpooledFile:
    """What an upload to a host reads from; `sha256` in hexadecimal digits is of what was added."""

    def __init__(self, name: str, file: IO[bytes], most_bytes: int) -> None:
        self.name = short_name(name)
        self._most_bytes = most_bytes
        self.size_bytes = 0
        self._file = file
        self._digest = hashlib.sha256()
        self.sha256 = self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        """Add a piece; blocks. InvalidArgumentError where the file is larger than announced."""
        if self.size_bytes + len(data) > self._most_bytes:
            raise InvalidArgumentError(
                f"the file has more than the announced {self._most_bytes} bytes"
            )
        self._digest.update(data)
        self.sha256 = self._digest.hexdigest()
        self._file.write(data)
        self.size_bytes += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return a part of it; blocks."""
        self._file.seek(offset)
        return self._file.read(size)


def short_name(name: str) -> str:
    """Return a file's name, cut to the length that a host accepts."""
    return name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")


@asynccontextmanager
async def spooled(
    name: str, size_bytes: int, pieces: AsyncIterator[bytes]
) -> AsyncIterator[SpooledFile]:
    """Store the pieces on the disk for the time of the block; raises UsbshareError."""
    try:
        await in_thread(_require_room, size_bytes)
        with tempfile.TemporaryFile() as file:
            kept = SpooledFile(name, file, size_bytes)
            async for piece in pieces:
                await in_thread(kept.add, piece)
            yield kept
    except OSError as error:
        raise UsbshareError(f"cannot store the file on this computer: {in_words(error)}") from error


def _require_room(size_bytes: int) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < size_bytes + KEPT_FREE_BYTES:
        raise LimitError(
            f"no room for the file on the panel's computer: it has {size_bytes // 1_000_000} MB, "
            f"and {tempfile.gettempdir()} has {free // 1_000_000} MB free, of which "
            f"{KEPT_FREE_BYTES // 1_000_000} MB must stay free"
        )
