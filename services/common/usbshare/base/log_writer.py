"""Log lines for a stream that may block: a stopped terminal, a full pipe, a slow disk.

Whoever logs only adds a line to a bounded queue; a daemon thread writes. Past `MOST_WAITING` new
lines are dropped and counted, and once the stream goes on, one line says how many.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from usbshare.base.backlog import Backlog

MOST_WAITING = 2000
FLUSH_TIMEOUT_S = 1.0
_LOOK_S = 3600.0


class LogWriter(logging.Handler):
    """A handler whose `emit` never blocks; `lost` lines are counted."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.stream = stream
        self._backlog: Backlog[str] = Backlog(MOST_WAITING, clock, self._loss)
        self._thread: threading.Thread | None = None
        self._unwritten = 0
        self._beginning = threading.Lock()

    @property
    def lost(self) -> int:
        """How many lines were dropped so far, since the stream took none."""
        return self._backlog.ever_lost + self._unwritten

    def emit(self, record: logging.LogRecord) -> None:
        """Add the line to those that wait to be written."""
        try:
            line = self.format(record)
        except Exception as error:  # arguments that do not fit: the caller must not suffer
            line = f"a log line of {record.name} cannot be formatted: {record.msg!r}: {error}"
        self._backlog.add(f"{line}\n")
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="log", daemon=True)
                self._thread.start()

    def setStream(self, stream: TextIO) -> None:  # noqa: N802 - as a StreamHandler
        """Write to another stream what is logged from now on, and what still waits."""
        self.stream = stream

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        if self._thread is not None:
            self._backlog.wait_empty(FLUSH_TIMEOUT_S)

    def close(self) -> None:
        """Write what waits and end; blocks a second at most."""
        self.flush()
        self._backlog.end()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: the default writes to stderr, which may block."""

    def _loss(self, count: int) -> str:
        record = logging.LogRecord(
            *(__name__, logging.WARNING, __file__, 0),
            *("%d lines dropped: stderr took none", (count,), None),
        )
        return f"{self.format(record)}\n"

    # The thread.

    def _write(self) -> None:
        while True:
            self._backlog.wait(_LOOK_S)
            lines = self._backlog.items()
            if not lines:
                return
            for line in lines:
                self._write_line(line)
                self._backlog.taken(1)

    def _write_line(self, line: str) -> None:
        try:
            write_whole(self.stream, line)
        except (OSError, ValueError):  # nobody reads it any more, or it is closed
            self._unwritten += 1


def write_whole(stream: TextIO, text: str) -> None:
    """Write to the stream's descriptor; blocks while it takes nothing; raises OSError.

    A blocked writer inside of Python's own stream would hold its lock, for which everybody else
    and the interpreter's end would wait.
    """
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, AttributeError):  # no file: a test's, an embedder's
        stream.write(text)
        return
    data = text.encode(errors="backslashreplace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another program has made our terminal non-blocking
            select.select([], [descriptor], [])


def log_what_python_prints() -> None:
    """Send to the log what Python itself would print on stderr, whatever thread it is in."""
    logging.captureWarnings(capture=True)
    sys.unraisablehook = _unraisable
    threading.excepthook = _in_thread


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    error = found.exc_value
    logging.getLogger(__name__).error("%s: %r", found.err_msg or "ignored", error, exc_info=error)


def _in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is not SystemExit:
        name = found.thread.name if found.thread else "?"
        error = found.exc_value
        logging.getLogger(__name__).error("thread '%s' died", name, exc_info=error)
