"""What a confirmed stop or re-arming has to say: a line for people, fields for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from usbshare.bridge.stop.guard import tell


@dataclass(frozen=True, slots=True)
class Done:
    """What was done and confirmed; fields that are times end in `_ms`, bytes are hexadecimal."""

    text: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def tell(self, *, as_json: bool) -> None:
        """Print the line; with JSON an object goes to stdout, and the line to stderr."""
        if not as_json:
            tell(self.text)
            return
        import json  # noqa: PLC0415 - a stop does not wait for it

        tell(json.dumps({"confirmed": True, **self.fields, "text": self.text}))
        tell(self.text, 2)
