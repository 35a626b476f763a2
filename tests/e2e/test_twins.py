"""Two adapters that say the same of themselves: the wrong machine never moves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.job_rig import until
from fakes.processes import run, running
from fakes.serial_device import Acknowledging
from fakes.usb_host import Adapter, UsbHost, service

MOVE = b"G1 X100\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[UsbHost]:
    made = UsbHost(tmp_path / "host")
    yield made
    made.close()


def plug_in(host: UsbHost, place: str) -> Adapter:
    return host.plug_in(place, answer=Acknowledging())


def listed(home: Path, target: str) -> dict[str, dict[str, str]]:
    code, output = run(["bridge", "list", "--target", target, "--json"], home)
    assert code == 0, output
    ports = json.loads(output)
    return {port["id"]: port for port in (ports["ports"] if isinstance(ports, dict) else ports)}


def send(home: Path, target: str, port_id: str) -> tuple[int, str]:
    return run(["bridge", "send", "--target", target, "--port", port_id, "G1 X100"], home)


def test_a_move_for_the_machine_that_was_unplugged_moves_no_other(
    tmp_path: Path, host: UsbHost
) -> None:
    a, b = plug_in(host, "1-1"), plug_in(host, "1-2")
    with service(host, tmp_path) as (_, target):
        ports = listed(tmp_path, target)
        of_a = next(each for each in ports if ports[each]["socket"] == "0000:00:14.0/1")
        code, output = send(tmp_path, target, of_a)
        assert code == 0, output
        assert MOVE in a.received
        host.unplug(a)
        code, output = send(tmp_path, target, of_a)
        assert code != 0, output
        until(lambda: of_a not in listed(tmp_path, target), "the port of A is gone")
        code, output = send(tmp_path, target, of_a)
        assert code != 0
        assert "no port" in output
        assert MOVE not in b.received


def test_a_configured_port_refuses_an_identical_device_until_a_person_allows_it(
    tmp_path: Path, host: UsbHost
) -> None:
    a = plug_in(host, "1-1")
    config = tmp_path / "serial.toml"
    config.write_text(f'[ports.laser]\nsource = "{a.by_id}"\n')
    with service(host, tmp_path, "--config", str(config)) as (_, target):
        assert send(tmp_path, target, "laser")[0] == 0
        host.unplug(a)
        b = plug_in(host, "1-2")
        until(lambda: "refused" in listed(tmp_path, target)["laser"]["reason"], "refused")
        code, output = send(tmp_path, target, "laser")
        assert code != 0
        assert "devices forget laser" in output
        assert MOVE not in b.received
    with service(host, tmp_path, "--config", str(config)) as (process, target):
        assert send(tmp_path, target, "laser")[0] != 0
        process.wait_for("refused .* its device is")
        code, output = run(["serial-svc", "devices", "forget", "laser"], tmp_path)
        assert code == 0, output
        assert "1a86:7523, no serial number, in socket 0000:00:14.0/1" in output
        process.wait_for("forgot the device of 'laser'")
        code, output = send(tmp_path, target, "laser")
        assert code == 0, output
        assert MOVE in b.received
    shutil.rmtree(tmp_path / "state", ignore_errors=True)


def test_a_device_that_was_never_known_cannot_be_forgotten(tmp_path: Path) -> None:
    code, output = run(["serial-svc", "devices", "forget", "laser"], tmp_path)
    assert code == 1
    assert "remembered for: none" in output


@pytest.mark.parametrize("configured", [True, False])
def test_a_bridge_that_is_started_before_its_device_is_a_port_waits_for_it(
    tmp_path: Path, host: UsbHost, configured: bool
) -> None:
    arguments: list[str] = []
    if configured:
        config = tmp_path / "serial.toml"
        config.write_text('[ports.laser]\nsource = "usb:1a86:7523"\n')
        arguments = ["--config", str(config)]
    port_id = "laser" if configured else "1a86-7523-at-14.0-1"
    with service(host, tmp_path, *arguments) as (_, target):
        vcom = str(tmp_path / "COM10")
        command = ["bridge", "--target", target, "--port", port_id, "--vcom", vcom]
        with running(command, tmp_path) as bridge:
            bridge.wait_for("waiting 4 s in case it was plugged in just now")
            plug_in(host, "1-1")
            bridge.wait_for("ready: open")
