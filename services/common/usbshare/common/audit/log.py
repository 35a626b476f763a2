"""A process's audit log: noting never waits and never fails, a thread of its own writes."""

from __future__ import annotations

import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from usbshare.common.audit.appending import Appender
from usbshare.common.audit.files import LogFiles
from usbshare.common.paths import state_folder

log = logging.getLogger(__name__)

MAX_BYTES = 10_000_000
KEEP = 20
MOST_WAITING = 10_000
RETRY_S = 0.5
LOOK_S = 5.0
LEAST_FREE_BYTES = 1_000_000

Entry = dict[str, object]


def audit_folder() -> Path:
    """Return where the audit logs of this computer are; need not exist."""
    return state_folder() / "audit"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AuditLog:
    """The log `NAME.jsonl` in a folder; several processes may write to the same one.

    Use as a context manager, or `start` and `close` it. While the disk is full, lines wait; past
    `MOST_WAITING` new ones are lost and counted, and the log says so once it can be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        utc: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._folder = folder
        self._name = name
        self._utc = utc
        self._appender = Appender(LogFiles(folder, name), max_bytes, keep)
        self._waiting: deque[Entry] = deque()
        self._lost = 0
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._trouble = ""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def trouble(self) -> str:
        """Why nothing can be written at present; empty if it can."""
        return self._trouble

    def start(self) -> None:
        """Begin to write."""
        # A daemon: a disk that hangs must not keep a service from ending.
        self._thread = threading.Thread(target=self._write, name=f"audit {self._name}", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits and end; blocks, that long at most."""
        with self._news:
            self._closed.set()
            self._news.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._waiting:
            log.error("audit log %s: %d lines are lost", self._name, len(self._waiting))

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        """Note an event; neither blocks nor raises, may be called from any thread."""
        entry: Entry = {"time": None, "event": event, "who": who, "address": address, "port": port}
        entry.update(fields)
        entry["time"] = _written(self._utc())
        with self._news:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(entry)
                self._news.notify()
            else:
                self._lost += 1

    # The thread.

    def _write(self) -> None:
        while entries := self._take():
            try:
                self._append(entries)
            except Exception as error:  # whatever it is, lines wait and the service goes on
                self._is_in_trouble(_reason(error))
                if self._closed.wait(RETRY_S):
                    return
            else:
                self._is_in_trouble(self._no_room())

    def _take(self) -> list[Entry]:
        """Return what waits, once there is anything; nothing when it is time to end."""
        with self._news:
            while not (self._waiting or self._closed.is_set()):
                if not self._news.wait(LOOK_S):
                    self._is_in_trouble(self._no_room())
            if self._lost and len(self._waiting) < MOST_WAITING:
                self._waiting.append(self._loss())
            return list(self._waiting)

    def _append(self, entries: list[Entry]) -> None:
        while entries:
            count = self._appender.append(entries)
            del entries[:count]
            with self._news:
                for _ in range(count):
                    self._waiting.popleft()

    def _loss(self) -> Entry:
        lost, self._lost = self._lost, 0
        return {"time": _written(self._utc()), "event": "lines lost", "count": lost}

    def _no_room(self) -> str:
        """Return that the disk is about to be full; a writer finds out only at its next line."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return ""
        return "" if free >= LEAST_FREE_BYTES else f"the disk has only {free // 1000} kB left"

    def _is_in_trouble(self, why: str) -> None:
        if why and not self._trouble:
            log.error("audit log %s cannot be written: %s", self._name, why)
        elif self._trouble and not why:
            log.warning("audit log %s is written again", self._name)
        self._trouble = why


def _written(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    return str(error)
