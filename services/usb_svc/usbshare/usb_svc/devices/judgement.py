"""Whether a device can be lent now: what the host's rules say, and who uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from usbshare.authorization.devices import DevicePolicy, is_allowed
from usbshare.line.usb.device import DeviceSelector
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usb_svc.devices.rules import refusal
from usbshare.usb_svc.devices.sysfs import folder_of
from usbshare.usb_svc.devices.users import Users

HOST = "usbip-host"
BY_HAND = f"{HOST}, bound by hand"


class State(Enum):
    """Whether a device can be lent."""

    AVAILABLE = "available"
    ATTACHED = "attached"
    IN_USE = "in use"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HostRules:
    """What a host lends: `listed` are the only devices, None for all that do no harm."""

    policy: DevicePolicy
    listed: Sequence[DeviceSelector] | None


def unbind_remedy(busid: str) -> str:
    """Return how an administrator gives back what they bound by hand."""
    return f"`sudo usbip unbind -b {busid}` frees it"


def judge(
    device: HostDevice, rules: HostRules, users: Users, sys: Path, *, is_ours: bool
) -> tuple[State, str]:
    """Return whether a device can be lent, and why not; `is_ours`: this service bound it.

    Blocks.
    """
    is_bound = device.driver == HOST
    if is_bound and not is_ours:
        return State.IN_USE, f"{BY_HAND}: {unbind_remedy(device.busid)}"
    if not is_allowed(rules.policy, device.usb):
        return State.REFUSED, "it is not among the [[allowed_devices]] of this host's policy"
    # What this service bound has no interfaces; it was judged, and is again before a loan.
    if not is_bound and (why := refusal(device, rules.listed)):
        return State.REFUSED, why
    if user := users.of(folder_of(device.busid, sys).resolve()):
        return State.IN_USE, user
    return State.AVAILABLE, ""
