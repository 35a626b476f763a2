"""The USB port in a real kernel: its driver, its udev, programs as they are.

Run by `tests/vm/run`, in a virtual machine or on a machine that has the modules.
"""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from fakes.rfc2217_controller import Controller, rfc2217_controller
from usbshare.usbip.vhci.helper import Vhci
from vm import other_user
from vm.real_kernel import (
    DEADLINE_S,
    Shared,
    ask,
    open_when_there,
    shared,
    until,
    used_ports,
    users_of_the_usbip_port,
)

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not Vhci().may_attach, reason="no vhci_hcd, or not root"),
]


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[tuple[Shared, Controller]]:
    with rfc2217_controller() as (device, url), shared(tmp_path, url) as made:
        yield made, device


def test_programs_see_a_real_port_and_the_device_what_they_set(
    controller: tuple[Shared, Controller],
) -> None:
    used, device = controller
    with used.bridge() as (_, path):
        (listed,) = [each for each in list_ports.comports() if "usbshare" in str(each.manufacturer)]
        assert os.path.realpath(path) == listed.device
        assert listed.product == "laser at 127.0.0.1"
        with open_when_there(path, baudrate=250000, parity="E", stopbits=2, bytesize=7) as port:
            until(lambda: (device.baudrate, device.parity) == (250000, "E"), "baud and parity")
            assert (device.bytesize, device.stopbits) == (7, 2)
            assert (port.dsr, port.cd, port.ri, port.cts) == (True, True, False, True)
            port.dtr = False
            until(lambda: not device.dtr, "DTR falls")
            port.dtr = True
            until(lambda: device.dtr, "DTR rises")
            port.rts = False
            until(lambda: not device.rts, "RTS")
            port.break_condition = True
            until(lambda: device.break_condition, "the break begins")
            port.break_condition = False
            until(lambda: not device.break_condition, "the break ends")
            port.bytesize, port.parity, port.stopbits, port.baudrate = 8, "N", 1, 115200
            assert b"[VER:1.1h" in ask(port)


def test_programs_that_come_and_go_never_reset_the_controller(
    controller: tuple[Shared, Controller],
) -> None:
    used, device = controller
    with used.bridge() as (_, path):
        with open_when_there(path, baudrate=115200) as port:
            ask(port)
        resets = device.resets
        for _ in range(5):
            with open_when_there(path, baudrate=115200) as port:
                ask(port)
    assert device.resets == resets


def test_a_port_that_sets_nothing_finds_the_settings_in_force(
    controller: tuple[Shared, Controller],
) -> None:
    used, device = controller
    with used.bridge() as (_, path):
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            assert termios.tcgetattr(descriptor)[4] == termios.B115200
            os.write(descriptor, b"$I\n")
            answer = b""
            while b"ok\r\n" not in answer:
                answer += os.read(descriptor, 256)
        finally:
            os.close(descriptor)
        assert device.baudrate == 115200


def test_no_other_local_user_can_plug_in_or_unplug(tmp_path: Path) -> None:
    with shared(tmp_path, "sim://grbl") as used, used.bridge() as (_, path):
        assert users_of_the_usbip_port() == ""
        for name in ("attach", "detach"):
            done = other_user.does("sh", "-c", f"echo 0 > /sys/devices/platform/vhci_hcd.0/{name}")
            assert "Permission denied" in done.stderr
        assert "Permission denied" in other_user.does("cat", path).stderr
        done = other_user.does("usbip", "attach", "-r", "127.0.0.1", "-b", "1-1")
        assert (done.returncode, used_ports()) == (1, 1), done.stderr


def test_another_local_user_that_has_a_certificate_cannot_plug_in_either(tmp_path: Path) -> None:
    with shared(tmp_path, "sim://grbl") as used:
        certificate = used.home / other_user.CERTIFICATE
        with other_user.running_as_other(used.arguments, certificate) as bridge:
            assert bridge.wait(DEADLINE_S) != 0
            assert "this user may not plug in a virtual USB device" in bridge.output
            assert used_ports() == 0
