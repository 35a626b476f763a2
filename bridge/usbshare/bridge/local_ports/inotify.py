"""Who opens and closes one file, by Linux's inotify, without a dependency."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from enum import IntFlag

_HEADER = struct.Struct("iIII")
_READ_BYTES = 4096


class FileEvent(IntFlag):
    """What happened to the file; the kernel merges an event with an equal one just before it."""

    CLOSED_AFTER_WRITING = 0x08
    CLOSED_AFTER_READING = 0x10
    OPENED = 0x20


CLOSED = FileEvent.CLOSED_AFTER_WRITING | FileEvent.CLOSED_AFTER_READING


class FileWatch:
    """Opens and closes of one file; `descriptor` is readable when there are any."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = -1

    def start(self) -> None:
        """Begin to watch; raises OSError."""
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        mask = int(CLOSED | FileEvent.OPENED)
        _checked(libc.inotify_add_watch(self.descriptor, os.fsencode(self._path), mask))

    def read(self) -> list[FileEvent]:
        """Return what happened since the last call, oldest first."""
        events: list[FileEvent] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, _READ_BYTES):
                events += _events_in(data)
        return events

    def stop(self) -> None:
        """Stop watching."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def _events_in(data: bytes) -> list[FileEvent]:
    events, offset = [], 0
    while offset < len(data):
        _, mask, _, name_bytes = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size + name_bytes
        if mask & int(CLOSED | FileEvent.OPENED):
            events.append(FileEvent(mask & int(CLOSED | FileEvent.OPENED)))
    return events


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"inotify: {os.strerror(number)}")
    return result
