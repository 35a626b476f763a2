"""The USB port in a real kernel: its driver, its udev, programs as they are.

Run by `tests/vm/run`, in a virtual machine or on a machine that has the modules. USBSHARE_CYCLES
says how often each fault is tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import serial
from serial.tools import list_ports

from fakes.network import Network, running_network
from fakes.processes import Process, environment, free_port
from fakes.rfc2217_controller import Controller, rfc2217_controller
from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import (
    DEADLINE_S,
    POLL_S,
    READY,
    Shared,
    ask,
    open_when_there,
    shared,
    until,
    used_ports,
)

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not Vhci().may_attach, reason="no vhci_hcd, or not root"),
]

CYCLES = int(os.environ.get("USBSHARE_CYCLES", "2"))


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


class Rig:
    """A bridge that is put through faults while a program has its port open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.number = 0
        self.listen = f"127.0.0.1:{free_port()}"
        config = home / "usbshare.toml"
        config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
        self.service = self._serve()
        self.bridge: Process | None = None
        self.path = ""

    def _serve(self) -> Process:
        words = [
            "serial-svc",
            "--listen",
            self.listen,
            "--config",
            str(self.home / "usbshare.toml"),
        ]
        service = Process(words, environment(self.home))
        service.wait_for("ready at", DEADLINE_S)
        return service

    def join(self, target: str) -> None:
        words = ["bridge", "--target", target, "--usb-port"]
        self.bridge = Process(words, environment(self.home))
        self.path = self.bridge.wait_for(READY, DEADLINE_S)[1]

    def serve_again(self) -> None:
        self.service.stop(signal.SIGKILL)
        self.service = self._serve()

    @property
    def said(self) -> str:
        """What both have printed, and how the service ended if it has."""
        bridge = "" if self.bridge is None else self.bridge.output
        return f"{bridge}\n\nservice ({self.service.process.poll()}):\n{self.service.output}"

    def end(self) -> None:
        if self.bridge is not None:
            self.bridge.stop()
        self.service.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Rig, Network]]:
    made = Rig(tmp_path)
    try:
        with running_network(made.listen) as network:
            made.join(network.target)
            yield made, network
    finally:
        made.end()


def kill_the_service(rig: Rig, _: Network) -> None:
    rig.serve_again()


def unplug(rig: Rig, _: Network) -> None:
    """As `usbip detach` does."""
    (port,) = [each.number for each in Vhci().ports() if not each.is_free]
    Path("/sys/devices/platform/vhci_hcd.0/detach").write_text(str(port))


def black_hole(_: Rig, network: Network) -> None:
    network.black_hole()
    time.sleep(2.0)
    network.heal()


def kill_the_bridge(rig: Rig, network: Network) -> None:
    assert rig.bridge is not None
    rig.bridge.stop(signal.SIGKILL)
    rig.join(network.target)


@pytest.mark.parametrize("fault", [kill_the_service, unplug, black_hole, kill_the_bridge])
def test_the_port_is_usable_after_every_fault(
    rig: tuple[Rig, Network], fault: Callable[[Rig, Network], None]
) -> None:
    used, network = rig
    until_usable(used)
    for number in range(CYCLES):
        port = open_when_there(used.path, baudrate=115200)
        if number % 2 == 1:  # transfers wait: a dwell keeps the machine from taking more
            port.write(b"G4 P0.5\n" * 60)
        fault(used, network)
        with suppress(OSError, termios.error):  # it was unplugged
            port.reset_output_buffer()  # else closing waits for the dwells
        port.close()
        until_usable(used)
        until(lambda: used_ports() == 1, "no port is left behind")
        print(f"RESULT usb_port_cycles_{fault.__name__} {number + 1}", flush=True)


def until_usable(used: Rig) -> None:
    """Return once a program gets an answer: a busy machine's pauses may cost a link, too."""
    end = time.monotonic() + DEADLINE_S
    while not is_usable(used):
        assert time.monotonic() < end, used.said


def is_usable(used: Rig) -> bool:
    """Return whether a program gets an answer; its reset releases a port whose job was lost."""
    try:
        with serial.Serial(used.path, 115200, timeout=5, write_timeout=5) as port:
            port.write(b"\x18")
            if b"Grbl" not in port.read_until(b"]\r\n"):
                return False
            port.write(b"$X\n$I\n")
            answer = b""
            while b"[VER:" not in answer:
                got = port.read(64)
                if not got:
                    return False
                answer += got
    except (OSError, serial.SerialException):
        time.sleep(POLL_S)
        return False
    return True
