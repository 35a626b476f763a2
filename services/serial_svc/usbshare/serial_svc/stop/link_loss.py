"""What is done to a machine that is running a job when the link of its control session is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from usbshare.base.errors import DeviceError
from usbshare.line.profiles import AUTO, Profile, StopAction
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.stop.fence import Programs
from usbshare.serial_svc.stop.hold import HoldCause
from usbshare.serial_svc.stop.lost_job import LostJob
from usbshare.serial_svc.stop.machine import Machine
from usbshare.serial_svc.stop.stop_path import LINK_LOSS, StopPath

_ACTIONS = {
    LinkLossPolicy.DOOR: StopAction.SAFETY_DOOR,
    LinkLossPolicy.HOLD: StopAction.HOLD,
    LinkLossPolicy.STOP: StopAction.EMERGENCY_STOP,
}


def policy_of(configured: LinkLossPolicy | None, profile: Profile) -> LinkLossPolicy:
    """Return the policy in force: as configured, else door if the firmware has one.

    Nothing is sent to an unknown device to which no G-code was sent.
    """
    if configured is not None:
        return configured
    has_door = profile.name != AUTO.name and StopAction.SAFETY_DOOR in profile.stops
    return LinkLossPolicy.DOOR if has_door else LinkLossPolicy.NONE


def action_of(policy: LinkLossPolicy) -> StopAction | None:
    """Return the stop that a policy asks for, None where it asks for none."""
    return _ACTIONS.get(policy)


class LinkLoss:
    """Acts on one machine as its port's policy says."""

    def __init__(
        self,
        line: Line,
        machine: Machine,
        lost_job: LostJob,
        stop_path: StopPath,
        programs: Programs,
    ) -> None:
        self._line = line
        self._machine = machine
        self._lost_job = lost_job
        self._stop_path = stop_path
        self._programs = programs

    @property
    def policy(self) -> LinkLossPolicy:
        """The policy in force."""
        return policy_of(self._line.config.link_loss, self._line.profile)

    def act(self, why: str, *, is_at_work: bool) -> asyncio.Task[None] | None:
        """Act on a machine that is running a job by the policy, and hold what is queued.

        Returns what acts, None if nothing is to be done.
        """
        line, policy = self._line, self.policy
        if policy is LinkLossPolicy.CONTINUE:
            return None
        holds_session = self._programs.hold()
        action = action_of(policy)
        if action is None or action not in line.profile.stops:
            return None
        if not is_at_work or not line.is_open:
            return None
        line.counters.link_loss_acted()
        acting = line.keeper.run(self._stop(action, why), action.value)
        if action is StopAction.EMERGENCY_STOP:
            return acting
        if line.profile.hold_keeps_program:
            holds = self._machine.holds
            holds.machine_held(HoldCause.LINK_LOSS, LINK_LOSS, why)
            if holds_session:
                holds.session_held(HoldCause.LINK_LOSS, LINK_LOSS, why)
        else:
            lost = f"{why}; the firmware discarded moves"
            self._lost_job.begin(LINK_LOSS, lost, resets=True)
        return acting

    async def _stop(self, action: StopAction, why: str) -> None:
        with suppress(DeviceError):  # the stop path has logged it
            await self._stop_path.stop(action, LINK_LOSS, why)
