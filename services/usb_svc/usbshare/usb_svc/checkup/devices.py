"""Whether the devices of this host can be lent."""

from __future__ import annotations

from collections.abc import Sequence

from usbshare.authorization.devices import fits
from usbshare.base.checkup import Judgement, fine, warning
from usbshare.line.usb.device import parse_selector
from usbshare.usb_svc.devices.disks import UNKNOWN_USER
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usb_svc.devices.judgement import BY_HAND, HOST, State, unbind_remedy

_NONE = "plug one in: `lsusb` shows what the kernel sees"
_SEE = "give the service the right to see who uses it: the check `rights` names what it lacks"
_END = (
    "end the program, or unmount the disk, to lend the device; serial-svc and camera-svc keep what "
    "they offer"
)


def judge_list(devices: Sequence[HostDevice], listed: Sequence[str] | None) -> Judgement:
    """Check whether there are devices, and what `[usb] devices` lists."""
    if not devices:
        return warning("no USB device is plugged in", _NONE)
    if listed is None:
        return fine(f"{len(devices)} plugged in; [usb] devices is unset: harmless ones are lent")
    absent = [each for each in listed if not any(_is(each, device) for device in devices)]
    if absent:
        return warning(
            f"[usb] devices lists devices that are not plugged in: {', '.join(absent)}", _NONE
        )
    return fine(
        f"{len(devices)} plugged in; [usb] devices lists {len(listed)}, and all are plugged in"
    )


def judge_device(device: HostDevice, state: State, reason: str, *, is_lent: bool) -> Judgement:
    """Judge one device: only what a person may want to change is a warning."""
    name = " ".join(filter(None, (device.manufacturer, device.product))) or "(no name)"
    if is_lent:
        return fine(f"{name}: lent to a client")
    if state is State.IN_USE:
        if device.driver == HOST:
            return warning(f"{name}: held by {BY_HAND}", unbind_remedy(device.busid))
        return warning(
            f"{name}: held by {reason}", _SEE if reason.startswith(UNKNOWN_USER) else _END
        )
    if state is State.REFUSED:
        return fine(f"{name}: not lent, {reason}")
    return fine(f"{name}: can be lent")


def _is(selector: str, device: HostDevice) -> bool:
    return fits(parse_selector(selector), device.usb)
