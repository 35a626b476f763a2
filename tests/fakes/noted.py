"""An audit log that remembers what it was given."""

from __future__ import annotations


class Noted:
    """What was noted: events, with their fields."""

    trouble = ""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []

    @property
    def events(self) -> list[object]:
        return [entry["event"] for entry in self.entries]

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        entry = {"event": event, "who": who, "address": address, "port": port, **fields}
        self.entries.append(entry)
