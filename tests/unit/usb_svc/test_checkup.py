"""What `usb-svc doctor` says of a device that is held: by what, and what frees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes.usb_sysfs import UsbSysfs
from usbshare.authorization.policy import Policy
from usbshare.usb_svc.checkup.devices import judge_device
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usb_svc.devices.judgement import HOST, HostRules, State, judge
from usbshare.usb_svc.devices.sysfs import list_devices
from usbshare.usb_svc.devices.users import Users


@pytest.fixture
def usb(tmp_path: Path) -> UsbSysfs:
    return UsbSysfs(tmp_path)


@pytest.fixture
def device(usb: UsbSysfs) -> HostDevice:
    usb.node(usb.plug_in("1-1", "0403", "6001"), "ttyUSB0")
    (device,) = list_devices(usb.sys)
    return device


def said(usb: UsbSysfs, device: HostDevice) -> tuple[str, str]:
    """Return what is measured and the remedy."""
    users = Users(usb.places.proc, usb.sys)
    state, reason = judge(device, HostRules(Policy(), None), users, usb.sys, is_ours=False)
    assert state is State.IN_USE
    found = judge_device(device, state, reason, is_lent=False)
    return found.measured, found.remedy


def test_a_program_is_to_be_ended(usb: UsbSysfs, device: HostDevice) -> None:
    usb.program(77, "/dev/ttyUSB0", "/usr/bin/picocom")
    measured, remedy = said(usb, device)
    assert measured == "Maker A thing: held by picocom (process 77)"
    assert "end the program" in remedy


def test_a_name_with_a_colon_is_no_remedy(usb: UsbSysfs, device: HostDevice) -> None:
    usb.program(77, "/dev/ttyUSB0", "/usr/bin/worker: ttyUSB0")
    measured, remedy = said(usb, device)
    assert measured.startswith("Maker A thing: held by worker: ")
    assert "end the program" in remedy


def test_where_users_cannot_be_seen_the_remedy_is_that_of_the_rights(
    usb: UsbSysfs, device: HostDevice
) -> None:
    first = usb.places.proc / "1"
    first.rename(usb.places.proc / "hidden")
    measured, remedy = said(usb, device)
    assert measured == f"Maker A thing: held by an unknown user: {first} is not seen"
    assert "`rights`" in remedy


def test_a_device_bound_by_hand_is_to_be_unbound(usb: UsbSysfs, device: HostDevice) -> None:
    measured, remedy = said(usb, replace(device, driver=HOST))
    assert measured == "Maker A thing: held by usbip-host, bound by hand"
    assert remedy == "`sudo usbip unbind -b 1-1` frees it"
