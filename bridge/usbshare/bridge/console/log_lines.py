"""Warnings of the log as lines of the console: on a terminal all else would tear the prompt."""

from __future__ import annotations

import logging

from usbshare.bridge.console.lines import Kind, Line, Tell, problem


class _LineHandler(logging.Handler):
    """Tells each record; `tell` never waits."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record, errors in their colour."""
        line = problem(record.getMessage())
        is_bad = record.levelno >= logging.ERROR
        self._tell(line if is_bad else Line(line.text, Kind.NEWS))


def warn_at(tell: Tell) -> None:
    """Tell warnings there, and no longer on stderr."""
    logging.basicConfig(level=logging.WARNING, handlers=[_LineHandler(tell)], force=True)
