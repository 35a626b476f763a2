"""The USB port in a real kernel: its driver, its udev, programs as they are.

Run by `tests/vm/run`, in a virtual machine or on a machine that has the modules.
"""

from __future__ import annotations

import os
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from serial.tools import list_ports

from fakes.rfc2217_controller import Controller, rfc2217_controller
from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import (
    Shared,
    ask,
    open_when_there,
    shared,
    until,
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


def test_no_other_local_user_can_plug_in(tmp_path: Path) -> None:
    with shared(tmp_path, "sim://grbl") as used, used.bridge() as (_, path):
        said = subprocess.run(
            ["ss", "-Hltn", "sport = :3240"], capture_output=True, text=True, check=True
        )
        assert said.stdout == ""
        assert os.stat("/sys/devices/platform/vhci_hcd.0/attach").st_mode & 0o022 == 0
        assert os.stat(path).st_mode & 0o007 == 0
