"""Whether this host's kernel can lend devices, and this user may make it do so."""

from __future__ import annotations

import os
from pathlib import Path

from usbshare.base.checkup import Judgement, failure_of, fine, warning
from usbshare.base.errors import DeviceError
from usbshare.base.os_errors import in_words
from usbshare.usb_svc.devices.judgement import HOST
from usbshare.usb_svc.devices.users import CONTAINED, sees_all
from usbshare.usb_svc.export.usbip_host import UsbipHost, control_files

_AS_SERVICE = (
    "usb-svc's unit gives it that right (CAP_DAC_OVERRIDE, CAP_SYS_PTRACE); run the doctor as "
    "root, and the service too if it runs without the unit"
)

_AS_CONTAINER = "start the container with the host's processes: `--pid=host`"


def judge_driver(sys: Path) -> Judgement:
    """Check whether the kernel's driver is loaded."""
    try:
        UsbipHost(sys).require()
    except DeviceError as error:
        return failure_of(error)
    return fine(f"{HOST} is loaded")


def judge_rights(sys: Path, proc: Path) -> Judgement:
    """Check whether this user may take devices, and see who uses them; changes nothing."""
    for file in control_files(sys):
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            return warning(f"this user may not write {file} ({in_words(error)})", _AS_SERVICE)
    if not sees_all(proc):
        return warning(f"{CONTAINED}, not those of the host, which may use a device", _AS_CONTAINER)
    first = proc / "1/fd"
    try:
        list(first.iterdir())
    except OSError as error:
        return warning(f"this user may not see {first} ({in_words(error)})", _AS_SERVICE)
    return fine("this user may take devices and sees which programs use them")
