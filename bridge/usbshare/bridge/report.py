"""What the bridge tells its user: a status line on a terminal, or JSON events for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TextIO

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
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown = ""
        self._last_reason: str | None = None

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print a line above the status line; attempts that fail alike are told once."""
        repeats = name == "waiting" and fields.get("reason") == self._last_reason
        self._last_reason = fields.get("reason")
        if repeats:
            return
        self._wipe()
        print(text, file=self._stream, flush=True)

    def status(self, status: Status) -> None:
        """Write the status line over the last one."""
        if not self._is_terminal:
            return
        self._wipe()
        self._shown = _line(status)
        self._stream.write(self._shown)
        self._stream.flush()

    def end(self) -> None:
        """Wipe the status line."""
        self._wipe()

    def _wipe(self) -> None:
        if self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""


class JsonReporter:
    """One JSON object a line on stdout."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Print the event."""
        print(json.dumps({"event": name, "text": text, **fields}), file=self._stream, flush=True)

    def status(self, status: Status) -> None:
        """Print the status."""
        print(json.dumps({"event": "status", **asdict(status)}), file=self._stream, flush=True)

    def end(self) -> None:
        """Leave nothing behind."""


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
