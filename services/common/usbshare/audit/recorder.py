"""What takes note of events: an audit log, or nothing."""

from __future__ import annotations

from typing import Protocol


class Audit(Protocol):
    """What takes note of events."""

    @property
    def trouble(self) -> str:
        """Why nothing can be written at present; empty if it can."""

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        """Note an event; neither blocks nor raises, may be called from any thread."""


class NullAudit:
    """Notes nothing."""

    trouble = ""

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        """Forget it."""
