"""Asking whoever has control of a port to hand it over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from usbshare.serial_svc.sessions.client import Holder
from usbshare.serial_svc.sessions.events import ControlRequested

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort

log = logging.getLogger(__name__)

LEAST_S = 10.0
MOST_REMEMBERED = 256


class HandOver:
    """Passes requests on, each identity's once in ten seconds a port."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_at: dict[tuple[str, str], float] = {}

    def request(
        self, port: SerialPort, identity: str, client_name: str
    ) -> tuple[Holder | None, bool]:
        """Return who has control, and whether that session was told now."""
        session, now = port.roster.control, self._clock()
        if session is None:
            return None, False
        key = (port.id, identity)
        if now - self._told_at.get(key, float("-inf")) < LEAST_S:
            return session.holder, False
        if len(self._told_at) >= MOST_REMEMBERED:
            self._told_at.clear()
        self._told_at[key] = now
        log.info("port '%s': %s asks %s for control", port.id, identity, session.holder)
        session.send(ControlRequested(identity, client_name))
        return session.holder, True
