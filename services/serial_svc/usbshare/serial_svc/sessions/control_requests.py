"""Asking whoever has control of a port to hand it over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from usbshare.base.throttle import Throttle
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
        self._throttle = Throttle[tuple[str, str]](LEAST_S, clock, most_keys=MOST_REMEMBERED)

    def request(
        self, port: SerialPort, identity: str, client_name: str
    ) -> tuple[Holder | None, bool]:
        """Return who has control, and whether that session was told now."""
        session = port.roster.control
        if session is None:
            return None, False
        if not self._throttle.admits((port.id, identity)):
            return session.holder, False
        log.info("port '%s': %s asks %s for control", port.id, identity, session.holder)
        session.send(ControlRequested(identity, client_name))
        return session.holder, True
