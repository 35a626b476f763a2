"""usb-svc and `usb attach` on a real kernel: usbip-host lends a CDC-ACM gadget, vhci_hcd takes it.

Run by `tests/vm/run`. The gadget is the kernel's own (dummy_hcd, g_serial): its far end is ttyGS0.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.processes import Process, run, running
from usbshare.usbip.vhci.helper import Vhci
from vm import other_user
from vm.real_kernel import DEADLINE_S, USB_HOST, until, users_of_the_usbip_port

GADGET = Path("/dev/ttyGS0")
HOST_DRIVER = Path("/sys/bus/usb/drivers/usbip-host")
pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(
        not (Vhci().may_attach and HOST_DRIVER.exists()), reason="no vhci_hcd or usbip-host"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _gadget() -> Iterator[None]:
    if subprocess.run(["modprobe", "g_serial", "use_acm=1"], check=False).returncode:
        pytest.skip("no g_serial")
    until(GADGET.exists, "the gadget is there")
    yield
    subprocess.run(["modprobe", "-r", "g_serial"], check=False)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, Process, str]]:
    config = tmp_path / "usbshare.toml"
    config.write_text(USB_HOST)
    words = ["usb-svc", "--listen", "127.0.0.1:0", "--config", str(config)]
    with running(words, tmp_path) as service:
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)", DEADLINE_S)[1]
        yield tmp_path, service, target
    assert lent() == []


def lent() -> list[str]:
    return [each.name for each in HOST_DRIVER.glob("*-*") if (each / "usbip_status").exists()]


def imported() -> list[str]:
    """Return the serial ports of devices that vhci_hcd has."""
    used = [each.number for each in Vhci().ports() if not each.is_free]
    return [f"/dev/{name}" for number in used for name in Vhci().ttys(number)]


@contextmanager
def attached(home: Path, target: str, *options: str) -> Iterator[tuple[Process, str]]:
    words = ["bridge", "usb", "attach", "--target", target, "--match", "0525:a4a7", *options]
    with running(words, home) as process:
        process.wait_for("attached 0525:a4a7", DEADLINE_S)
        until(imported, "the device has a serial port here")
        yield process, imported()[0]


def passes_bytes(port: str) -> None:
    """Check that a line reaches the gadget, and one comes back."""
    here = os.open(port, os.O_RDWR | os.O_NOCTTY)
    there = os.open(GADGET, os.O_RDWR | os.O_NOCTTY)
    try:
        for each in (here, there):
            tty.setraw(each)
            termios.tcflush(each, termios.TCIOFLUSH)
        os.write(here, b"to the gadget\n")
        assert received(there, 14) == b"to the gadget\n"
        sent = bytes(range(256)) * 16
        os.write(there, sent)
        assert received(here, len(sent)) == sent
    finally:
        os.close(here)
        os.close(there)


def received(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        assert select.select([descriptor], [], [], DEADLINE_S)[0], data
        data += os.read(descriptor, size - len(data))
    return data


def test_a_device_is_used_here_and_given_back(host: tuple[Path, Process, str]) -> None:
    home, _, target = host
    with attached(home, target) as (process, port):
        passes_bytes(port)
        assert users_of_the_usbip_port() == ""
        code, output = run(["bridge", "usb", "list", "--target", target, "--json"], home)
        (device,) = [each for each in json.loads(output) if each["id"].startswith("0525:a4a7")]
        assert (code, device["state"]) == (0, "attached")
        code, output = run(["bridge", "usb", "status", "--json"], home)
        assert [each["state"] for each in json.loads(output)] == ["attached"]
        code, output = run(["bridge", "usb", "detach", "--all"], home)
        assert (code, process.wait(DEADLINE_S)) == (0, 0), output
    until(lambda: not imported() and not lent(), "it is given back")


def test_a_client_that_is_killed_loses_its_device(host: tuple[Path, Process, str]) -> None:
    home, _, target = host
    with attached(home, target) as (process, _):
        process.stop(signal.SIGKILL)
        until(lambda: not imported() and not lent(), "it is given back")
    with attached(home, target) as (_, port):
        passes_bytes(port)


def test_a_client_that_is_frozen_loses_its_device(host: tuple[Path, Process, str]) -> None:
    home, _, target = host
    with attached(home, target) as (process, _):
        process.process.send_signal(signal.SIGSTOP)
        until(lambda: not lent(), "the host has it back")
        process.process.send_signal(signal.SIGCONT)
        until(lambda: not imported(), "it is gone here")


def test_a_kept_device_comes_back_when_it_is_plugged_in_again(
    host: tuple[Path, Process, str],
) -> None:
    home, _, target = host
    with attached(home, target, "--keep") as (process, _):
        subprocess.run(["modprobe", "-r", "g_serial"], check=True)
        until(lambda: not imported(), "it is gone here")
        subprocess.run(["modprobe", "g_serial", "use_acm=1"], check=True)
        until(imported, "it is back")
        passes_bytes(imported()[0])
        assert process.stop() == 0


def test_a_device_that_a_program_has_open_is_refused_with_its_name(
    host: tuple[Path, Process, str],
) -> None:
    home, _, target = host
    (port,) = Path("/sys/bus/usb/drivers/cdc_acm").glob("*/tty/ttyACM*")
    descriptor = os.open(f"/dev/{port.name}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        words = ["bridge", "usb", "attach", "--target", target, "--match", "0525:a4a7"]
        code, output = run(words, home)
        assert (code, "is held by" in output) == (1, True), output
    finally:
        os.close(descriptor)


def test_another_local_user_gets_no_device(host: tuple[Path, Process, str]) -> None:
    _, _, target = host
    words = ["bridge", "usb", "attach", "--target", target, "--match", "0525:a4a7"]
    with other_user.running_as_other(words) as process:
        assert process.wait(DEADLINE_S) != 0
        assert "certificate" in process.output
        assert (imported(), lent()) == ([], [])
