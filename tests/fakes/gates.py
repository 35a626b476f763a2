"""Gates for servers that a test puts together: the real one, over a policy that it may write."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from usbshare.audit.recorder import Audit, NullAudit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rulebook import Rulebook
from usbshare.authorization.second_factor import SecondFactors
from usbshare.trust.site import Site


def gate_of(
    site: Site | None,
    service: str = "serial-svc",
    audit: Audit | None = None,
    rulebook: Rulebook | None = None,
) -> Gate:
    """Return the gate of a site as its policy says now, without one for plaintext."""
    folder = Path(tempfile.gettempdir()) / "no-site" if site is None else site.folder
    audit = audit or NullAudit()
    if rulebook is None:
        rulebook = Rulebook(folder, "" if site is None else site.id, audit)
        rulebook.load()
    factors = SecondFactors(folder / "site" / "totp.json", time.monotonic)
    return Gate(rulebook, factors, audit, lambda: datetime.now(UTC), service)
