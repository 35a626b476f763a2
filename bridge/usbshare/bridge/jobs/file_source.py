"""A file that is to be sent to a host: one that lies here, or what comes through a pipe."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.jobs.piped import keep_piped

STANDARD_INPUT = "-"
MOST_PIPED_BYTES = 1_000_000_000
LONGEST_NAME_BYTES = 200
_CHUNK_BYTES = 1024 * 1024


class FileSource:
    """An open file with its size and SHA-256, in hexadecimal digits; `close` it at the end."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = _short(name)
        self._file = file
        self._looks = _looks(file)
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.sha256 = _sha256(file)
        self._require_same()
        if not self.size_bytes:
            raise InvalidArgumentError(f"{name} is empty")

    def read(self, offset: int, size: int) -> bytes:
        """Return that part of it; InvalidArgumentError if the file has changed since."""
        self._file.seek(offset)
        data = self._file.read(size)
        self._require_same()
        if not data:
            raise self._changed()
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _require_same(self) -> None:
        if _looks(self._file) != self._looks:
            raise self._changed()

    def _changed(self) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{self.name} changed during the upload: submit it again once it is complete"
        )


def open_source(path: str, stdin: IO[bytes]) -> FileSource:
    """Open a file, or take what comes through a pipe to its end; `-` is standard input.

    Blocks. Raises OSError, InvalidArgumentError.
    """
    file, name = _opened(path, stdin)
    try:
        return FileSource(file, name)
    except BaseException:
        file.close()
        raise


def _opened(path: str, stdin: IO[bytes]) -> tuple[IO[bytes], str]:
    if path == STANDARD_INPUT:
        return _taken(stdin, "standard input"), "standard input"
    file, name = Path(path).open("rb"), Path(path).name  # noqa: SIM115 - the source closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file, name
    with file:
        return _taken(file, name), name


def _taken(pipe: IO[bytes], name: str) -> IO[bytes]:
    """Return a nameless file with all that comes through a pipe."""
    taken: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the source closes it
    try:
        keep_piped(pipe, taken, name, MOST_PIPED_BYTES)
    except BaseException:
        taken.close()
        raise
    return taken


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while data := file.read(_CHUNK_BYTES):
        digest.update(data)
    return digest.hexdigest()


def _looks(file: IO[bytes]) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _short(name: str) -> str:
    return name.encode(errors="replace")[:LONGEST_NAME_BYTES].decode(errors="ignore")
