"""What the bridge shows its user: a status line on a terminal, or JSON events for programs.

A thread writes: a suspended terminal, or a pipe without a reader, delays no stop.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, TextIO

from usbshare.base.line_writer import LineWriter
from usbshare.base.terminal_text import width
from usbshare.bridge.tables.status_line import Status, status_line

_USUAL_COLUMNS = 80


class Reporter(Protocol):
    """Takes what happens, one call an event."""

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Report something that happened once: `text` for people, `fields` for programs."""

    def status(self, status: Status) -> None:
        """Show the current state, about once per second."""

    def end(self) -> None:
        """Leave the terminal as it was."""


class TextReporter:
    """Lines on stderr; on a terminal a status line below them that is written over."""

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        columns: Callable[[TextIO], int] | None = None,
    ) -> None:
        self._stream = stream
        self._columns = columns or _terminal_columns
        self._lines = LineWriter(stream, lambda lost: f"{lost} lines dropped\n")
        self._is_terminal = stream.isatty()
        self._shown = ""
        self._last_reason: str | None = None

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print a line above the status line; identical failures are reported once."""
        repeats = name == "waiting" and fields.get("reason") == self._last_reason
        self._last_reason = fields.get("reason")
        if repeats:
            return
        self._lines.write(f"{self._wiped()}{text}\n")

    def status(self, status: Status) -> None:
        """Write the status line over the last one."""
        if not self._is_terminal or self._lines.is_behind:
            return
        # In the last column many terminals wrap: a line there could not be written over.
        room = self._columns(self._stream) - 1
        wiped, self._shown = self._wiped(), status_line(status, room)
        self._lines.write(wiped + self._shown)

    def end(self) -> None:
        """Wipe the status line."""
        self._lines.write(self._wiped())

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        self._lines.flush()

    def _wiped(self) -> str:
        """Return what wipes the status line; a terminal may be narrower now than it was."""
        shown, self._shown = self._shown, ""
        blank = min(width(shown), self._columns(self._stream) - 1) if shown else 0
        return "\r" + " " * blank + "\r" if shown else ""


class JsonReporter:
    """One JSON object a line on stdout."""

    def __init__(self, stream: TextIO = sys.stdout, *, tells_status: bool = True) -> None:
        self._lines = LineWriter(stream, _lost)
        self._tells_status = tells_status

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print the event."""
        self._lines.write(json.dumps({"event": name, "text": text, **fields}) + "\n")

    def status(self, status: Status) -> None:
        """Print the status, unless that is not wanted."""
        if self._tells_status and not self._lines.is_behind:
            self._lines.write(json.dumps({"event": "status", **asdict(status)}) + "\n")

    def end(self) -> None:
        """Leave nothing behind."""

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        self._lines.flush()


def _lost(count: int) -> str:
    told = f"{count} lines dropped: they were not read"
    return json.dumps({"event": "lines_lost", "text": told, "count": count}) + "\n"


def _terminal_columns(stream: TextIO) -> int:
    """Return how wide the terminal is now; 80 where it does not say."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or _USUAL_COLUMNS
