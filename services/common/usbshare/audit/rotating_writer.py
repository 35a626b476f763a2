"""Appends lines to a log that others may write to as well; a full file is put aside."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from usbshare.audit.chain import HEAD_LOST, BrokenChainError, Tip, check, link
from usbshare.audit.files import LogFiles
from usbshare.audit.head import Head, read_head, write_head
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import make_private

log = logging.getLogger(__name__)

_TAIL_BYTES = 8192
_DAY_S = 86_400.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Appender:
    """Writes one log; blocks, so it belongs to a thread.

    Of the full files the newest `keep` stay, and those whose last line is younger than `keep_days`.
    """

    def __init__(self, files: LogFiles, max_bytes: int, keep: int, keep_days: float = 0.0) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._keep = keep
        self._keep_s = keep_days * _DAY_S
        self._known: tuple[int, int] | None = None
        self._tip = Tip()
        self._first = 1
        self._head_is_lost = False

    @property
    def tip(self) -> Tip:
        """The end of the chain when it was written to last."""
        return self._tip

    def append(self, entries: Sequence[Mapping[str, object]]) -> int:
        """Write those that go into one file, at least one; return how many. All or nothing.

        Raises OSError or ConfigError; the file then is as it was.
        """
        make_private(self._files.folder)
        with file_lock(self._files.lock):
            size = self._find_tip()
            if self._head_is_lost:
                self._write_some([{"time": entries[0].get("time"), "event": HEAD_LOST}], size)
                self._head_is_lost = False
                size = self._files.current.stat().st_size
            return self._write_some(entries, size)

    def _write_some(self, entries: Sequence[Mapping[str, object]], size: int) -> int:
        data, count, tip = self._lines(entries, size)
        if not count:
            self._put_aside()
            size = 0
            data, count, tip = self._lines(entries, size)
        self._write(data, size)
        self._tip = tip
        self._note_head()
        return count

    def _lines(self, entries: Sequence[Mapping[str, object]], size: int) -> tuple[bytes, int, Tip]:
        """Return what fits behind that many bytes; an empty file takes a line of any length."""
        data, tip = bytearray(), self._tip
        for count, entry in enumerate(entries):
            line, next_tip = link(tip, entry)
            if (size or data) and size + len(data) + len(line) > self._max_bytes:
                return bytes(data), count, tip
            data += line
            tip = next_tip
        return bytes(data), len(entries), tip

    def _write(self, data: bytes, size: int) -> None:
        descriptor = os.open(self._files.current, _FLAGS, 0o600)
        try:
            _write_whole(descriptor, data)
            os.fsync(descriptor)
            found = os.fstat(descriptor)
            self._known = (found.st_ino, found.st_size)
        except OSError:
            self._known = None
            with suppress(OSError):  # the next to write cuts it off
                os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)

    # Where the chain ends.

    def _find_tip(self) -> int:
        """Note the tip, if others wrote; cut off an incomplete line. Return the file's size."""
        path = self._files.current
        found = path.stat() if path.exists() else None
        if found is not None and (found.st_ino, found.st_size) == self._known:
            return found.st_size
        size, tip = _ending(path) if found is not None else (0, None)
        if found is not None and size < found.st_size:
            log.warning(
                "%s: dropped an incomplete line; the process that wrote it was killed", path
            )
            os.truncate(path, size)
        self._take_tip(tip or self._tip_of_full())
        return size

    def _take_tip(self, tip: Tip) -> None:
        head = read_head(self._files.head)
        self._head_is_lost = head is None and tip.seq > 0
        if head is None:
            head = Head(Tip())
            if not self._head_is_lost:  # one that is lost stays so until a line says it
                write_head(self._files.head, head)
        self._first = head.first
        # What the head or this process knows and the file lacks was cut off: the gap stays to be
        # seen.
        self._tip = max(tip, head.tip, self._tip, key=lambda known: known.seq)

    def _tip_of_full(self) -> Tip:
        full = self._files.all_full()
        return (_ending(full[-1])[1] if full else None) or Tip()

    def _note_head(self) -> None:
        with suppress(OSError):  # it may lag behind the chain
            write_head(self._files.head, Head(self._tip, self._first))

    # Files that are full.

    def _put_aside(self) -> None:
        self._files.current.rename(self._files.full(self._tip.seq))
        for path in self._files.all_full()[: -self._keep]:
            if not self._is_old(path):
                return
            self._drop(path)

    def _is_old(self, path: Path) -> bool:
        """Return whether its last line is so old that it need not be kept."""
        return time.time() - path.stat().st_mtime >= self._keep_s

    def _drop(self, path: Path) -> None:
        """Delete the oldest file; the head learns it first, or the lines would be missed."""
        self._first = max(self._first, int(path.name.split(".")[-2]) + 1)
        self._note_head()
        with suppress(OSError):  # somebody reads it, where that forbids it: next time
            path.unlink()


def _write_whole(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _ending(path: Path) -> tuple[int, Tip | None]:
    """Return the file's size up to its last whole line, and the tip that this one makes."""
    with path.open("rb") as file:
        size = start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and tail.count(b"\n") < 2:
            start = max(0, start - _TAIL_BYTES)
            file.seek(start)
            tail = file.read(size - start)
    whole = tail[: tail.rfind(b"\n") + 1]
    return start + len(whole) if whole else 0, _tip_of(whole)


def _tip_of(lines: bytes) -> Tip | None:
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    try:
        return check(last)[1]
    except BrokenChainError:
        return None
