"""A machine that was at work when the service died: it is stopped before anybody writes to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from usbshare.common.errors import DeviceError
from usbshare.serial_svc.active_ports import ActivePorts

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
WHO = "serial-svc"
_WHY = "the service died while the machine was at work"


class LeftOver:
    """What one port was doing when the service died, and a note of what it does now."""

    def __init__(
        self,
        port: SerialPort,
        active_ports: ActivePorts | None,
        clock: Callable[[], float],
    ) -> None:
        self._port = port
        self._active_ports = active_ports
        self._clock = clock
        self._profile = active_ports.profile_of(port.id) if active_ports else None
        self._noted = (False, "")

    def note_now(self) -> None:
        """Note whether the machine is at work, or holds a lost job, where that has changed."""
        watch, profile = self._port.watch, self._port.profile
        active = watch.is_at_work or watch.lost_job.must_reset
        now = (active, profile.name if active else "")
        is_due = self._profile is None and now != self._noted  # what was found is acted on first
        if self._active_ports is not None and is_due:
            self._noted = now
            self._active_ports.note(self._port.id, profile, active=active)

    async def stop(self) -> None:
        """Act on the machine, if it was at work, as after a lost link; an absent one is next."""
        if self._profile is None:
            return
        try:
            await asyncio.wait_for(self._port.ensure_open(), OPEN_TIMEOUT_S)
        except (DeviceError, TimeoutError) as error:
            log.warning("port '%s' was at work when the service died: %s", self._port.id, error)

    def device_opened(self) -> None:
        """Act now: nobody can have written to the device yet."""
        port, profile = self._port, self._profile
        if profile is None:
            return
        self._profile = None
        log.warning("port '%s' was at work when the service died", port.id)
        port.firmware.was(profile)
        # Past every epoch of the service that died: what its sessions were sending is void.
        port.latch.advance()
        port.activity.works(self._clock())
        acting = port.watch.act(_WHY, is_at_work=True)
        port.watch.lost_job.begin(WHO, _WHY, resets=acting is not None)
