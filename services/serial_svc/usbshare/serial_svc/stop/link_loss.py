"""What is done to a machine that is running a job when the link of its control session is lost."""

from __future__ import annotations

from usbshare.line.profiles import AUTO, Profile, StopAction
from usbshare.serial_svc.line.port_config import LinkLossPolicy

_ACTIONS = {
    LinkLossPolicy.DOOR: StopAction.SAFETY_DOOR,
    LinkLossPolicy.HOLD: StopAction.HOLD,
    LinkLossPolicy.STOP: StopAction.EMERGENCY_STOP,
}


def policy_of(configured: LinkLossPolicy | None, profile: Profile) -> LinkLossPolicy:
    """Return the policy in force: as configured, else door where the firmware has one.

    Nothing is sent to a device of which nobody knows what it is, and to which no G-code flows.
    """
    if configured is not None:
        return configured
    has_door = profile.name != AUTO.name and StopAction.SAFETY_DOOR in profile.stops
    return LinkLossPolicy.DOOR if has_door else LinkLossPolicy.NONE


def action_of(policy: LinkLossPolicy) -> StopAction | None:
    """Return the stop that a policy asks for, None where it asks for none."""
    return _ACTIONS.get(policy)
