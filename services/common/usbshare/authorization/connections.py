"""Records connections in the audit log, each once: at the first call over it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from usbshare.audit.recorder import Audit

MOST_REMEMBERED = 4096


class Sightings(Protocol):
    """Takes note of who calls."""

    def note(self, uri: str, address: str, fingerprint: str = "") -> None:
        """Remember that the identity called just now, with which key."""


class Arrivals:
    """Takes note of who calls, for another that does so too.

    The host's own services, which come and go all day, are not recorded.
    """

    def __init__(self, audit: Audit, host: str, other: Sightings) -> None:
        self._audit = audit
        self._host = host
        self._other = other
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def note(self, uri: str, address: str, fingerprint: str = "") -> None:
        """Remember a call; `address` is that of the connection, with its port."""
        self._other.note(uri, address)
        connection = (uri, address)
        if connection in self._known:
            self._known.move_to_end(connection)
            return
        self._known[connection] = None
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        if uri != self._host:
            self._audit.note("connected", who=uri, address=address, fingerprint=fingerprint)
