"""What the bridge tells its user: a status line on a terminal, or JSON events for programs.

A thread writes: a terminal that is stopped, or a pipe that nobody reads, holds up no stop.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TextIO

from usbshare.base.line_writer import LineWriter
from usbshare.bridge.latency import LatencySummary


@dataclass(frozen=True, slots=True)
class Status:
    """Everything worth a glance; `condition` is what is held or latched, in a few words."""

    state: str
    target: str
    port: str
    path: str
    latency: LatencySummary | None
    queue_commands: int
    reconnections: int
    sent_bytes: int
    received_bytes: int
    lost_bytes: int
    condition: str = ""
    held: dict[str, Any] | None = None
    latch: dict[str, Any] | None = None
    machine_state: str = ""


class Reporter(Protocol):
    """Takes what happens, one call an event."""

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Tell of something that happened once: `text` for people, `fields` for programs."""

    def status(self, status: Status) -> None:
        """Tell how things stand, about once a second."""

    def end(self) -> None:
        """Leave the terminal as it was."""


class TextReporter:
    """Lines on stderr; on a terminal a status line below them that is written over."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._lines = LineWriter(stream, lambda lost: f"{lost} lines dropped\n")
        self._is_terminal = stream.isatty()
        self._shown = ""
        self._last_reason: str | None = None

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print a line above the status line; attempts that fail alike are told once."""
        repeats = name == "waiting" and fields.get("reason") == self._last_reason
        self._last_reason = fields.get("reason")
        if repeats:
            return
        self._lines.write(f"{self._wiped()}{text}\n")

    def status(self, status: Status) -> None:
        """Write the status line over the last one."""
        if not self._is_terminal or self._lines.is_behind:
            return
        wiped, self._shown = self._wiped(), _line(status)
        self._lines.write(wiped + self._shown)

    def end(self) -> None:
        """Wipe the status line."""
        self._lines.write(self._wiped())

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        self._lines.flush()

    def _wiped(self) -> str:
        """Return what wipes the status line."""
        shown, self._shown = self._shown, ""
        return "\r" + " " * len(shown) + "\r" if shown else ""


class JsonReporter:
    """One JSON object a line on stdout."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._lines = LineWriter(stream, _lost)

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print the event."""
        self._lines.write(json.dumps({"event": name, "text": text, **fields}) + "\n")

    def status(self, status: Status) -> None:
        """Print the status."""
        if not self._lines.is_behind:
            self._lines.write(json.dumps({"event": "status", **asdict(status)}) + "\n")

    def end(self) -> None:
        """Leave nothing behind."""

    def flush(self) -> None:
        """Wait until all is written; blocks a second at most."""
        self._lines.flush()


def _lost(count: int) -> str:
    told = f"{count} lines dropped: nobody read them"
    return json.dumps({"event": "lines_lost", "text": told, "count": count}) + "\n"


def _line(status: Status) -> str:
    latency = f"{status.latency} ms now/min/avg/max" if status.latency else "no beat yet"
    parts = [
        f"{status.port} at {status.target}: {status.state}",
        *([status.condition.upper()] if status.condition else []),
        latency,
        f"queue {status.queue_commands}",
        f"{status.sent_bytes} B out",
        f"{status.received_bytes} B in",
        f"{status.reconnections} reconnections",
    ]
    if status.lost_bytes:
        parts.append(f"{status.lost_bytes} B lost")
    return " | ".join(parts)
