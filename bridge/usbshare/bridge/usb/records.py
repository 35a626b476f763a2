"""The attachments of this user, each kept by a process: what `status` shows and `detach` ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from usbshare.base.paths import make_private, runtime_folder

_FOLDER = "usb-attachments"
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """One attachment; `state` says what it is doing, `since` is UTC in ISO 8601."""

    device: str
    host: str
    pid: int
    state: str
    port: int = -1
    since: str = ""


class OwnRecord:
    """The record of this process, which holds its lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, record: Record) -> None:
        """Replace what it says."""
        data = json.dumps(asdict(record)).encode()
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, data, 0)


@contextmanager
def own_record() -> Iterator[OwnRecord]:
    """Keep a record while the block runs."""
    path = _folder() / f"{os.getpid()}.json"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield OwnRecord(descriptor)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def records() -> list[Record]:
    """Return the attachments whose processes are alive; removes the records of others."""
    found = (_living(path) for path in sorted(_folder().glob("*.json")))
    return [each for each in found if each is not None]


def end(record: Record) -> None:
    """Ask the process of an attachment to end it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)


def _folder() -> Path:
    folder = runtime_folder() / _FOLDER
    make_private(folder)
    return folder


def _living(path: Path) -> Record | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return Record(**json.loads(os.read(descriptor, _MOST_BYTES)))
        except (ValueError, TypeError):
            return None
    else:  # its process was killed
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)
