"""All that stops the machine on one line, or refuses programs since it was stopped."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.line.physical_device import PhysicalDevice
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.audit import StopAudit
from usbshare.serial_svc.stop.crash_recovery import CrashRecovery
from usbshare.serial_svc.stop.fence import Fence, Programs
from usbshare.serial_svc.stop.line_errors import LineErrors
from usbshare.serial_svc.stop.link_loss import LinkLoss
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine
from usbshare.serial_svc.stop.machine_reset import MachineReset
from usbshare.serial_svc.stop.realtime import Realtime
from usbshare.serial_svc.stop.resume import Resumes
from usbshare.serial_svc.stop.stop_path import StopPath


class Stops:
    """The stops of one line, and what they know of its machine."""

    def __init__(
        self,
        line: Line,
        programs: Programs,
        audit: StopAudit,
        active_ports: ActivePorts | None,
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._programs = programs
        fence = Fence(line, programs)
        machine = self.machine = Machine(line, programs, clock, self._note_work, self._reported)
        lost = self.lost_job = LostJob(line, machine, fence, audit, clock, self._note_work)
        self._resumes = Resumes(line, machine, clock)
        self.path = StopPath(
            line, machine, lost, fence, programs, audit, clock, self._resumes.until_obeyed
        )
        self.realtime = Realtime(line, machine, lost, fence, programs, audit)
        self.link_loss = LinkLoss(line, machine, lost, self.path, programs)
        self.line_errors = LineErrors(line, machine, programs, audit)
        self.machine_reset = MachineReset(line, machine, fence, audit)
        self.crash_recovery = CrashRecovery(
            line, machine, lost, self.link_loss, active_ports, clock
        )

    def device_opened(self, device: PhysicalDevice | None) -> None:
        """Deal with the machine of a job that was lost, before anybody writes to it."""
        if self.lost_job.must_reset:
            self.link_loss.act("the device is back, but its job is lost", is_at_work=True)
            self.lost_job.device_opened()
            self.machine.program_voided()
        self.crash_recovery.device_opened(device)

    def device_lost(self, reason: str) -> None:
        """End the epoch, by the latch if a job was lost with the device."""
        dropped = self._programs.waiting_commands
        was_busy = self.machine.lost()
        if was_busy or dropped:
            why = f"the device was lost: {reason}"
            self.lost_job.begin("the device", why, resets=was_busy)
        else:
            self._line.latch.advance()

    async def let_go(self, why: str) -> None:
        """Stop a machine at work as after a lost link, since its device is about to be closed."""
        acting = self.link_loss.act(why, is_at_work=self.machine.is_at_work)
        if acting is not None:
            await acting

    async def close(self) -> None:
        """Do so since the service is stopping; begin nothing any more."""
        self.lost_job.close()
        await self.let_go("the service is stopping")

    def _note_work(self) -> None:
        self.crash_recovery.note_now()

    def _reported(self, state: bytes, begun_at: float) -> None:
        self.lost_job.reported(state, begun_at)
        self._resumes.reported(state, begun_at)
