"""A logging handler that never blocks its caller, whatever becomes of stderr."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TextIO

from usbshare.base.line_writer import LineWriter

_log = logging.getLogger(__name__)


class LogWriter(logging.Handler):
    """Writes in a thread, and formats there: a traceback reads source files from the disk."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.lines = LineWriter(stream, self._told_lost, clock)

    @property
    def stream(self) -> TextIO:
        """Where the lines go."""
        return self.lines.stream

    def setStream(self, stream: TextIO) -> None:  # noqa: N802 - as a StreamHandler
        """Write to another stream what is logged from now on, and what still waits."""
        self.lines.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Add the line to those that wait to be written."""
        try:
            record.msg, record.args = record.getMessage(), None  # they may change meanwhile
        except Exception as error:  # arguments that do not fit: the caller must not suffer
            record.msg, record.args = f"cannot be formatted: {record.msg!r}: {error}", None
        self.lines.add(partial(self._line, record))

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        self.lines.flush()

    def close(self) -> None:
        """Write what waits and end; blocks a second at most."""
        self.lines.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception as error:  # a formatter's or a repr's: the next line is written
            return f"{record.msg}: {error!r}\n"

    def _told_lost(self, count: int) -> str:
        told = f"{count} log lines dropped: stderr did not accept them"
        return self._line(_log.makeRecord(__name__, logging.WARNING, "", 0, told, (), None))


def log_what_python_prints() -> None:
    """Send to the log what Python itself would print on stderr, whatever thread it is in."""
    warnings.showwarning = _warning
    sys.unraisablehook = _unraisable
    threading.excepthook = _in_thread


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _log.warning("%s:%d: %s: %s", filename, lineno, category.__name__, message)


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    _log.error("%s %r", found.err_msg or "ignored in", found.object, exc_info=found.exc_value)


def _in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is not SystemExit:
        name = found.thread.name if found.thread else "?"
        _log.error("thread '%s' died", name, exc_info=found.exc_value)
