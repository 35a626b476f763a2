"""What a service passes to the process that listens for newcomers in its place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from usbshare.trust.site import Site


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Where to listen for which site, and how to log; `service` names the audit log."""

    listen: str
    folder: str
    fingerprint: str
    known_id: str
    life_s: float
    service: str
    audit_bytes: int
    audit_keep: int
    audit_keep_days: int
    audit_bytes_a_day: int
    log_level: str
    log_as_json: bool

    @classmethod
    def decode(cls, text: str) -> ListenerOptions:
        """Return the options that `encode` made into a text."""
        return cls(**json.loads(text))

    def encode(self) -> str:
        """Return the options as an argument of the process."""
        return json.dumps(asdict(self))

    @property
    def site(self) -> Site:
        """The site that newcomers are let into."""
        life = timedelta(seconds=self.life_s)
        return Site(Path(self.folder), self.fingerprint, known_id=self.known_id, life=life)
