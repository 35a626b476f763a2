"""The newest lines of all logs of a folder, then each new one; bounded however slow the reader is.

It blocks for the disk and is used in a thread beside a service: it reads little at a time and
rests in between, so that the service's own thread never waits long for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from usbshare.audit.files import LogFiles, logs_in
from usbshare.audit.reader import Entry, Selection, parsed

# What is looked through for the newest lines of each log, and what a reader may fall behind.
LOOKED_THROUGH_BYTES = 1_000_000
MOST_BEHIND_BYTES = 1_000_000
MOST_AT_ONCE = 200
MOST_LOGS = 32
_REST_EVERY = 50
_REST_S = 0.001


@dataclass(frozen=True, slots=True)
class News:
    """Lines in the order of time; `lost` lines before them were left out."""

    entries: tuple[Entry, ...]
    lost: int = 0


@dataclass(slots=True)
class _Log:
    """One log: the file that is read, as far as that is done; `seq` is the last line's number."""

    files: LogFiles
    file: BinaryIO | None = None
    rest: bytes = b""
    seq: int = 0
    skips: bool = False
    waiting: list[Entry] = field(default_factory=list)


class LiveLogs:
    """Begin with `newest`, go on with `news`, end with `close`; all of them block."""

    def __init__(
        self, folder: Path, selection: Selection, rest: Callable[[float], None] = time.sleep
    ) -> None:
        self._folder = folder
        self._selection = selection
        self._rest = rest
        self._logs: dict[str, _Log] = {}
        self._read = 0

    def newest(self, count: int) -> News:
        """Return the newest lines that are selected, of the last megabyte of each log."""
        found: list[Entry] = []
        for files in logs_in(self._folder)[:MOST_LOGS]:
            log = self._logs[files.name] = _Log(files)
            found += self._begun(log)[-count:]
        return News(tuple(sorted(found, key=_time)[-count:]))

    def news(self) -> News:
        """Return what is new and selected; a reader too far behind gets the newest of it."""
        found: list[Entry] = []
        lost = 0
        for files in logs_in(self._folder)[:MOST_LOGS]:
            log = self._logs.setdefault(files.name, _Log(files))
            entries, left_out = self._added(log)
            found += entries
            lost += left_out
        ordered = sorted(found, key=_time)
        too_many = max(0, len(ordered) - MOST_AT_ONCE)
        return News(tuple(ordered[too_many:]), lost + too_many)

    def close(self) -> None:
        """Let go of the files."""
        for log in self._logs.values():
            _close(log)

    def _begun(self, log: _Log) -> list[Entry]:
        """Take hold of a log; return its newest lines, those of the last full file included."""
        found: list[Entry] = []
        for path in [*log.files.all_full()[-1:], log.files.current]:
            file = _opened(path)
            if file is None:
                continue
            _close(log)
            log.file = file
            log.skips = _seek_from_end(file, LOOKED_THROUGH_BYTES)
            found += self._taken(log)[0]
        if log.file is not None and not log.files.current.exists():
            _close(log)
        return found

    def _added(self, log: _Log) -> tuple[list[Entry], int]:
        """Return what a log got since, and how many lines of that were left out."""
        if log.file is None:
            log.file, log.rest = _opened(log.files.current), b""
        found: list[Entry] = []
        lost = 0
        while log.file is not None:
            entries, left_out = self._taken(log)
            found += entries
            lost += left_out
            if not _is_another(log.file, log.files.current):
                break
            more, left_out = self._taken(log)  # what came before it was put aside
            found += more
            lost += left_out
            _close(log)
            log.file, log.rest = _opened(log.files.current), b""
        return found, lost

    def _taken(self, log: _Log) -> tuple[list[Entry], int]:
        found: list[Entry] = []
        lost = 0
        for entry in self._entries(log):
            seq = entry.get("seq", 0)
            seq = seq if isinstance(seq, int) else 0
            if log.seq and seq > log.seq + 1:
                lost += seq - log.seq - 1
            log.seq = max(seq, log.seq)
            if self._selection.takes(entry):
                found.append(entry)
        return found, lost

    def _entries(self, log: _Log) -> Iterator[Entry]:
        for line in _lines(log):
            self._read += 1
            if self._read % _REST_EVERY == 0:
                self._rest(_REST_S)
            if (entry := parsed(line, log.files.name)) is not None:
                yield entry


def _lines(log: _Log) -> list[bytes]:
    """Return what is complete and was not read; of too much the end only."""
    file = log.file
    if file is None:
        return []
    size = os.fstat(file.fileno()).st_size
    if size < file.tell():  # an incomplete line was dropped
        file.seek(0, os.SEEK_END)
        log.rest = b""
    elif size - file.tell() > MOST_BEHIND_BYTES:
        log.skips = _seek_from_end(file, MOST_BEHIND_BYTES)
        log.rest = b""
    *lines, log.rest = (log.rest + file.read(MOST_BEHIND_BYTES)).split(b"\n")
    if log.skips and lines:
        del lines[0]  # where it began there may have been no beginning of a line
        log.skips = False
    return lines


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _seek_from_end(file: BinaryIO, size_bytes: int) -> bool:
    """Go so far back from the end; return whether that is not the file's beginning."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - size_bytes))
    return size > size_bytes


def _close(log: _Log) -> None:
    if log.file is not None:
        log.file.close()
        log.file = None
    log.rest = b""


def _is_another(file: BinaryIO, path: Path) -> bool:
    """Return whether the log goes on in another file than this one."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _time(entry: Entry) -> str:
    return str(entry.get("time", ""))
