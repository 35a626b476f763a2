"""A service is killed at work and started under another configuration: the machine is what counts.

The machines are on USB adapters: what was left at work is one physical device.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.job_rig import until
from fakes.processes import free_port, run, running
from fakes.serial_device import Acknowledging
from fakes.usb_host import Adapter, UsbHost, service

MOVE = b"G1 X100\n"
DOOR = b"\x84"
LEFT = "port '{}' was running a job when the service crashed"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[UsbHost]:
    made = UsbHost(tmp_path / "host")
    yield made
    made.close()


def configured(home: Path, port_id: str, source: str) -> tuple[str, str]:
    path = home / f"{port_id}.toml"
    path.write_text(f'[ports.{port_id}]\nsource = "{source}"\nprofile = "grbl"\n')
    return "--config", str(path)


def killed_at_work(home: Path, host: UsbHost, machine: Adapter) -> None:
    """Have port `laser` with the machine, which moves, and kill the service."""
    arguments = configured(home, "laser", machine.node)
    with service(host, home, *arguments) as (process, target):
        bridge = ["bridge", "--target", target, "--vcom", str(home / "COM10")]
        with running(bridge, home) as bridged:
            bridged.wait_for("ready: open")
            program = os.open(home / "COM10", os.O_RDWR | os.O_NOCTTY)
            os.write(program, MOVE)
            until(lambda: MOVE in machine.received, "the machine moves")
            notes = (
                home / ".local/state/usbshare/serial-svc/active-0"
            )  # slow disks are late with it
            until(lambda: list(notes.glob("device-*")), "the note")
            process.stop(signal.SIGKILL)
            os.close(program)


def send(home: Path, target: str, port_id: str) -> tuple[int, str]:
    return run(["bridge", "send", "--target", target, "--port", port_id, "G1 X100"], home)


@pytest.mark.parametrize("changed", ["id", "id and source", "nothing configured", "listen"])
def test_the_machine_is_stopped_whatever_its_port_is_called_now(
    tmp_path: Path, host: UsbHost, changed: str
) -> None:
    a = host.plug_in("1-1")
    killed_at_work(tmp_path, host, a)
    seen = len(a.received)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(a.node)
    port_id, arguments = {
        "id": ("cutter", configured(tmp_path, "cutter", a.node)),
        "id and source": ("cutter", configured(tmp_path, "cutter", str(elsewhere))),
        "nothing configured": ("1a86-7523-at-14.0-1", ()),
        "listen": ("laser", ("--config", str(tmp_path / "laser.toml"), "--listen")),
    }[changed]
    if changed == "listen":
        arguments = (*arguments, f"127.0.0.1:{free_port()}")
    with service(host, tmp_path, *arguments) as (process, target):
        assert LEFT.format(port_id) in process.output  # before anybody can come
        until(lambda: DOOR in a.received[seen:], "the door")
        code, output = send(tmp_path, target, port_id)
        assert code != 0
        assert "job" in output
        assert MOVE not in a.received[seen:]
        process.wait_for("reset the machine of a lost job")
    with service(host, tmp_path, *arguments) as (process, _):
        assert LEFT.format(port_id) not in process.output


def test_another_machine_under_its_id_was_not_running_a_job(tmp_path: Path, host: UsbHost) -> None:
    a = host.plug_in("1-1")
    killed_at_work(tmp_path, host, a)
    host.unplug(a)
    b = host.plug_in("1-2", "B", ids=("0403", "6001"), answer=Acknowledging())
    assert b.node == a.node
    code, output = run(["serial-svc", "devices", "forget", "laser"], tmp_path)
    assert code == 0, output
    # What latched the id, the latch, is another matter: here it was not latched.
    with service(host, tmp_path, "--config", str(tmp_path / "laser.toml")) as (process, target):
        assert send(tmp_path, target, "laser")[0] == 0
        assert LEFT.format("laser") not in process.output
        assert DOOR not in b.received
        assert MOVE in b.received
    host.unplug(b)
    again = host.plug_in("1-1")
    with service(host, tmp_path, *configured(tmp_path, "cutter", again.node)) as (process, _):
        process.wait_for(LEFT.format("cutter"))
        until(lambda: DOOR in again.received, "the door")
