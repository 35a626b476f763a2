"""A file that a page sends, kept on this computer's disk until its host has it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from usbshare.base.errors import LimitError, UsbshareError
from usbshare.base.os_errors import in_words
from usbshare.base.threads import in_thread

MOST_BYTES = 512 * 1024 * 1024
LONGEST_NAME_BYTES = 200


class SpooledFile:
    """What an upload to a host reads from; `sha256` in hexadecimal digits is of what was added."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")
        self.size_bytes = 0
        self._file = file
        self._digest = hashlib.sha256()
        self.sha256 = self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        """Add a piece; blocks. LimitError where the file is too large."""
        if self.size_bytes + len(data) > MOST_BYTES:
            raise LimitError(f"the file is larger than {MOST_BYTES // 1024 // 1024} MiB")
        self._digest.update(data)
        self.sha256 = self._digest.hexdigest()
        self._file.write(data)
        self.size_bytes += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return a part of it; blocks."""
        self._file.seek(offset)
        return self._file.read(size)


@asynccontextmanager
async def spooled(name: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[SpooledFile]:
    """Keep what comes on the disk while the block lasts; raises UsbshareError."""
    try:
        with tempfile.TemporaryFile() as file:
            kept = SpooledFile(name, file)
            async for piece in pieces:
                await in_thread(kept.add, piece)
            yield kept
    except OSError as error:
        raise UsbshareError(f"cannot store the file on this computer: {in_words(error)}") from error
