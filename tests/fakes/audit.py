"""An audit log with a memory, and real ones made for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usbshare.audit.files import LogFiles
from usbshare.audit.rotating_writer import Appender


class FakeAudit:
    """Remembers what it was given; `trouble` may be set."""

    def __init__(self) -> None:
        self.trouble = ""
        self.entries: list[dict[str, Any]] = []

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        given = {"event": event, "who": who, "address": address, "port": port, **fields}
        self.entries.append(given)

    @property
    def events(self) -> list[str]:
        """The events, in order."""
        return [entry["event"] for entry in self.entries]

    def last(self, event: str) -> dict[str, Any]:
        """Return the last entry of that event."""
        return next(entry for entry in reversed(self.entries) if entry["event"] == event)


def written_log(
    folder: Path, lines: int, *, max_bytes: int = 10_000_000, keep: int = 50
) -> LogFiles:
    """Write a log of that many lines and return where it is."""
    files = LogFiles(folder, "serial-svc")
    appender = Appender(files, max_bytes, keep)
    for number in range(lines):
        appender.append([{"event": "sent", "who": f"client-{number % 3}", "bytes": number}])
    return files
