"""The text for an event that changes nothing here."""

from __future__ import annotations

from dataclasses import dataclass, field

from usbshare.client.serial.messages import AskedEvent, Event, OperationEvent, ResultEvent


@dataclass(frozen=True, slots=True)
class News:
    """An event's name, its text for people and its fields for programs."""

    name: str
    text: str
    fields: dict[str, str] = field(default_factory=dict)


def of(event: Event) -> News | None:
    """Return what is shown of it, None if nothing is."""
    match event:
        case AskedEvent():
            text = f"{event.who} asks for control: to hand it over, end this bridge (Ctrl-C)"
            return News("asked", text, {"who": event.who})
        case ResultEvent() if event.outcome != "flushed":  # that was the program's own wish
            return News("refused", f"bytes were {event.outcome}: {event.message}")
        case OperationEvent() if event.outcome not in ("ok", "assumed success"):
            return News("not_done", f"the port said {event.outcome}: {event.message}")
    return None
