"""The lines of a program as they are sent: without line ends, comments and start markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

BOM = b"\xef\xbb\xbf"
CHUNK_BYTES = 256 * 1024
_COMMENT = re.compile(rb"\([^)]*\)?|;.*", re.DOTALL)
_END = re.compile(rb"\r\n|\n|\r")


class ProgramLine(NamedTuple):
    """A line by its number, counted from 1 on; `code` is empty where nothing is to be sent.

    `size_bytes`: what it takes in the file, with its line end.
    """

    number: int
    code: bytes
    size_bytes: int


def code_of(line: bytes) -> bytes:
    """Return the part of a line that the firmware gets: no comments, no surrounding white space."""
    if b"(" in line or b";" in line:
        line = _COMMENT.sub(b"", line)
    code = line.strip()
    return b"" if code == b"%" else code


def program_lines(path: Path) -> Iterator[ProgramLine]:
    """Yield a file's lines with any line ends; blocks, raises OSError."""
    with path.open("rb") as file:
        if (begin := file.read(len(BOM))) != BOM:
            file.seek(0)
        marked = len(BOM) if begin == BOM else 0
        for number, (line, size) in enumerate(_lines(file), 1):
            yield ProgramLine(number, code_of(line), size + (marked if number == 1 else 0))


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        text, at = rest + chunk, 0
        end = len(text) - 1 if text.endswith(b"\r") else len(text)
        for match in _END.finditer(text, 0, end):
            yield text[at : match.start()], match.end() - at
            at = match.end()
        rest = text[at:]
    if rest:
        yield rest.removesuffix(b"\r"), len(rest)
