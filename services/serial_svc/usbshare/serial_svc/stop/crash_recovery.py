"""A machine that was running a job when the service crashed: it is stopped before any write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.base.errors import DeviceError
from usbshare.base.threads import in_thread
from usbshare.line.physical_device import PhysicalDevice
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.link_loss import LinkLoss
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
WHO = "serial-svc"
_WHY = "the service crashed while the machine was running a job"


class CrashRecovery:
    """What one port was doing when the service died, and a note of what it does now."""

    def __init__(
        self,
        line: Line,
        machine: Machine,
        lost_job: LostJob,
        link_loss: LinkLoss,
        active_ports: ActivePorts | None,
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._machine = machine
        self._lost_job = lost_job
        self._link_loss = link_loss
        self._active_ports = active_ports
        self._clock = clock
        self._device: PhysicalDevice | None = None
        self._waits = bool(active_ports and active_ports.profile_of(line.id))
        self._noted = (False, "")
        self._trouble = ""

    def note_now(self) -> None:
        """Note whether the machine is running a job, or holds a lost one, if that has changed."""
        profile = self._line.profile
        active = self._machine.is_at_work or self._lost_job.must_reset
        now = (active, profile.name if active else "")
        is_due = not self._waits and now != self._noted  # what was found is acted on first
        if self._active_ports is not None and is_due:
            self._noted = now
            self._active_ports.note(self._line.id, profile, active=active, device=self._device)

    async def stop(self, find: Callable[[], PhysicalDevice | None]) -> None:
        """Act on the machine, if it was running a job, as after a lost link.

        To be called again when an absent device may be back. `find` returns the device that an
        opening would find, and may block.
        """
        line = self._line
        if line.is_open or (self._trouble and line.keeper.state is PortState.ABSENT):
            return
        if not (self._waits or await self._was_at_work(find)):
            return
        try:
            await asyncio.wait_for(line.ensure_open(), OPEN_TIMEOUT_S)
        except (DeviceError, TimeoutError) as error:
            if str(error) != self._trouble:
                log.warning(
                    "port '%s' was running a job when the service crashed: %s", line.id, error
                )
            self._trouble = str(error)

    async def _was_at_work(self, find: Callable[[], PhysicalDevice | None]) -> bool:
        active, port_id = self._active_ports, self._line.id
        if active is None or not active.knows_devices:
            return False
        try:
            device = await asyncio.wait_for(in_thread(find), OPEN_TIMEOUT_S)
        except TimeoutError:
            log.warning("the device of port '%s' is still unknown after 5 s", port_id)
            return False
        return active.profile_of(port_id, device) is not None

    def device_opened(self, device: PhysicalDevice | None) -> None:
        """Act now: nothing was written to the device yet."""
        line, self._device, self._waits = self._line, device, False
        profile = self._active_ports.profile_of(line.id, device) if self._active_ports else None
        if profile is None:
            return
        log.warning("port '%s' was running a job when the service crashed", line.id)
        line.firmware.was(profile)
        # Past every epoch of the service that died: what its sessions were sending is void.
        line.latch.advance()
        self._machine.activity.works(self._clock())
        acting = self._link_loss.act(_WHY, is_at_work=True)
        self._lost_job.begin(WHO, _WHY, resets=acting is not None)
