"""Asking the holder of a port to hand over control."""

from __future__ import annotations

import logging
from collections.abc import Callable

from usbshare.base.throttle import Throttle
from usbshare.serial_svc.sessions.client import Holder
from usbshare.serial_svc.sessions.events import ControlRequested
from usbshare.serial_svc.sessions.roster import SessionRoster

log = logging.getLogger(__name__)

LEAST_S = 10.0
MOST_REMEMBERED = 256


class HandOver:
    """Passes requests on, each identity's once in ten seconds a port."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._throttle = Throttle[tuple[str, str]](LEAST_S, clock, most_keys=MOST_REMEMBERED)

    def request(
        self, roster: SessionRoster, identity: str, client_name: str
    ) -> tuple[Holder | None, bool]:
        """Return who has control, and whether that session was notified now."""
        session = roster.control
        if session is None:
            return None, False
        if not self._throttle.admits((roster.port_id, identity)):
            return session.holder, False
        log.info("port '%s': %s asks %s for control", roster.port_id, identity, session.holder)
        session.outbox.put(ControlRequested(identity, client_name))
        return session.holder, True
