"""A process's audit log: recording never waits and never fails, a separate thread writes."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from usbshare.audit.files import LogFiles
from usbshare.audit.log_registry import FIELD, tips_of_others
from usbshare.audit.rotating_writer import Appender
from usbshare.audit.throttle import BYTES_A_DAY, AuditThrottle
from usbshare.base.backlog import Backlog
from usbshare.base.paths import state_folder

log = logging.getLogger(__name__)

Entry = dict[str, object]

MAX_BYTES = 10_000_000
KEEP = 20
KEEP_DAYS = 30
MOST_WAITING = 10_000
RETRY_S = 0.5
LOOK_S = 5.0
LONGEST_WAIT_S = 5.0
LEAST_FREE_BYTES = 1_000_000


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
        keep_days: int = KEEP_DAYS,
        bytes_a_day: int = BYTES_A_DAY,
        utc: Callable[[], datetime] = _utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._name = name
        self._utc = utc
        self._files = LogFiles(folder, name)
        self._appender = Appender(self._files, max_bytes, keep, keep_days)
        self._backlog: Backlog[Entry] = Backlog(MOST_WAITING, clock, self._loss)
        self._throttle = AuditThrottle(clock, bytes_a_day)
        self._has_told_others = False
        self._closed = threading.Event()
        self._trouble = ""
        self._threads: list[threading.Thread] = []

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
        """Why nothing can be written at present, as far as is known; empty if it can."""
        return self._trouble or self._stall()

    def start(self) -> None:
        """Begin to write."""
        for work, name in ((self._write, "audit"), (self._watch, "audit watch")):
            # A daemon: a disk that hangs must not keep a service from ending.
            thread = threading.Thread(target=work, name=f"{name} {self._name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits and end; blocks, that long at most."""
        deadline = time.monotonic() + timeout_s
        self._closed.set()
        self._add(self._throttle.due(everything=True))
        self._backlog.end()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._backlog:
            log.error("audit log %s: lost %d lines", self._name, len(self._backlog))

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        """Note an event; neither blocks nor raises, may be called from any thread.

        Equal events of one identity are merged, see `throttle`.
        """
        entry: Entry = {"time": None, "event": event, "who": who, "address": address, "port": port}
        entry.update(fields)
        entry["time"] = _written(self._utc())
        self._add(self._throttle.taken(entry))

    def _add(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._backlog.add(entry)

    # The thread that writes.

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
        while not self._backlog.wait(LOOK_S):
            self._is_in_trouble(self._no_room())
        return self._backlog.items()

    def _append(self, entries: list[Entry]) -> None:
        if not self._has_told_others and (others := tips_of_others(self._files)):
            entries[0] = {**entries[0], FIELD: others}
        while entries:
            count = self._appender.append(entries)
            self._has_told_others = True
            del entries[:count]
            self._backlog.taken(count)

    def _loss(self, count: int) -> Entry:
        return {"time": _written(self._utc()), "event": "lines lost", "count": count}

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
            log.warning("audit log %s can be written again", self._name)
        self._trouble = why

    # The thread that reports what was merged, and a disk that hangs, with it the other thread.

    def _watch(self) -> None:
        told = False
        while not self._closed.wait(LOOK_S):
            self._add(self._throttle.due())
            stall = "" if self._trouble else self._stall()
            if stall and not told:
                log.error("audit log %s cannot be written: %s", self._name, stall)
            elif told and not stall:
                log.warning("audit log %s: its disk responds again", self._name)
            told = bool(stall)

    def _stall(self) -> str:
        waited_s = self._backlog.age_s
        if waited_s <= LONGEST_WAIT_S:
            return ""
        return f"nothing was written for {waited_s:.0f} s: the disk hangs"


def _written(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    return str(error)
