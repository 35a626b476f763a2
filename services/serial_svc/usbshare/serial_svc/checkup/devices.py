"""Whether a port's device is present, permitted and free, found out without opening it."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.line.usb.serial_devices import SerialDeviceFound, parse_usb_name, path_of
from usbshare.serial_svc.checkup.processes import Processes

_USB = "usb:"
_SIMULATED = "sim://"


def local_path(source: str, plugged_in: Sequence[SerialDeviceFound]) -> Path | None:
    """Return the path behind a source, None if it is not a file; DeviceError if not plugged in."""
    if source.lower().startswith(_USB):
        path = path_of(parse_usb_name(source), plugged_in)
        return Path(path) if path.startswith("/") else None
    return Path(source) if source.startswith("/") else None


def judge_presence(source: str, plugged_in: Sequence[SerialDeviceFound]) -> Judgement:
    """Check whether there is a serial device behind the source."""
    path = local_path(source, plugged_in)
    if path is None:
        what = "simulated" if source.startswith(_SIMULATED) else "known once it is opened"
        return fine(f"{source}: {what}")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return failure(
            f"{path} is not there",
            "is it plugged in and switched on? `ls -l /dev/serial/by-id` shows what is",
        )
    if not stat.S_ISCHR(mode):
        return failure(f"{path} is not a serial device", "name another source for this port")
    real = path.resolve()
    return fine(f"{path} is there" if real == path else f"{path} is there, now {real}")


def judge_holders(path: Path, processes: Processes) -> Judgement:
    """Say which other programs have the device open."""
    if not processes.are_known:
        return fine(f"unknown on this system: `lsof {path}` shows it")
    holders = processes.holding(path)
    others = [process for process in holders if not process.is_serial_svc]
    if others:
        names = ", ".join(str(process) for process in others)
        return failure(f"held by {names}", f"end that program: serial-svc needs {path} alone")
    if holders:
        return fine(f"held by {holders[0]}, which is this service")
    unseen = " among this user's programs; `sudo serial-svc doctor` sees all"
    return fine("no other program" + (unseen if processes.some_are_hidden() else ""))


def judge_modem_manager(processes: Processes) -> Judgement:
    """Check whether ModemManager is running, which probes every new serial device."""
    found = processes.named("ModemManager")
    if not found:
        return fine("not running")
    return warning(
        f"running (process {found[0].pid}): it writes to each new adapter, which disturbs a "
        "machine",
        "`sudo systemctl disable --now ModemManager`, or a udev rule with "
        'ENV{ID_MM_DEVICE_IGNORE}="1"',
    )
