"""What comes through a pipe, kept in a file: it must be read more than once."""

from __future__ import annotations

from typing import IO

from usbshare.base.errors import InvalidArgumentError

_CHUNK_BYTES = 1 << 20


def keep_piped(pipe: IO[bytes], kept: IO[bytes], name: str, most_bytes: int) -> None:
    """Copy all that comes, to its end; blocks. InvalidArgumentError where that is too much."""
    size = 0
    while data := pipe.read(_CHUNK_BYTES):
        size += len(data)
        if size > most_bytes:
            raise InvalidArgumentError(
                f"more than {most_bytes // 10**6} MB came through {name}: save it to a file first"
            )
        kept.write(data)
    kept.flush()
