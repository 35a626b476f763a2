"""`usbshare-bridge status` and `serial-svc status`: what machines are doing, from real services."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import serial

from fakes.processes import SEND, completed, free_port, run, running, serial_service
from usbshare.client.latency.records import PartKind

PORTS = """
[ports.laser]
source = "sim://grbl"
profile = "grbl"
[ports.printer]
source = "sim://marlin"
profile = "marlin"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "usbshare.toml"
    config.write_text(f'[tls]\nenrolment = "127.0.0.1:{free_port()}"\n{PORTS}')
    with serial_service(home, "--config", str(config)) as (_, where):
        yield where


def found(home: Path, target: str) -> dict[str, dict[str, Any]]:
    done = completed(["usbshare-bridge", "status", "--target", target, "--json"], home)
    assert done.returncode == 0, done.stderr
    return {each["id"]: each for each in json.loads(done.stdout)}


def test_a_machine_is_shown_from_before_its_first_use_to_its_hold(home: Path, target: str) -> None:
    first = found(home, target)["laser"]
    assert (first["state"], first["machine"]) == ("available", None)
    code, said = run(["usbshare-bridge", *SEND, "--target", target, "--port", "laser", "$I"], home)
    assert code == 0, said
    machine = found(home, target)["laser"]["machine"]
    assert (machine["state"], machine["work_position"]) == ("Idle", [0.0, 0.0, 0.0])
    assert machine["age_s"] < 5.0  # nobody but the service asked
    run(["usbshare-bridge", "stop", "--target", target, "--port", "laser", "--hold"], home)
    held = found(home, target)["laser"]
    assert held["held"]["cause"] == "stop"
    code, text = run(["usbshare-bridge", "status", "--target", target], home)
    assert code == 0, text
    assert "a stop holds the machine since" in text
    assert "`usbshare-bridge stop --resume` continues" in text
    assert "round trip" in text


def test_marlin_is_shown_where_m114_found_it(home: Path, target: str) -> None:
    run(["usbshare-bridge", *SEND, "--target", target, "--port", "printer", "M114"], home)
    machine = found(home, target)["printer"]["machine"]
    assert (machine["state"], machine["work_position"]) == ("", [0.0, 0.0, 0.0])


def test_the_host_shows_its_own_machines(home: Path, target: str) -> None:
    code, text = run(["serial-svc", "--listen", target, "status"], home)
    assert code == 0, text
    assert "laser (grbl)" in text
    assert "printer (marlin)" in text


def test_the_holder_is_shown_with_its_round_trip(home: Path, target: str) -> None:
    bridge = ["usbshare-bridge", "--target", target, "--port", "printer", "--vcom", "COM10"]
    with running(bridge, home) as program:
        program.wait_for("ready")
        watch = ["usbshare-bridge", "status", "--target", target, "--watch", "--json"]
        with running([*watch, "--interval", "0.1"], home) as status:
            status.wait_for(r'"id": "printer".*"holder": "usbshare.*"holder_round_trip_ms": \d')
    assert '"holder_round_trip_ms": null' in status.wait_for(r'"id": "laser".*')[0]


def test_without_a_target_every_known_host_is_shown_and_silent_ones_are_reported(
    home: Path, target: str
) -> None:
    config = home / "hosts.toml"
    config.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n[bridge]\nremember = false\n"
        f'[hosts.workshop]\naddress = "127.0.0.1"\nserial = {target.rpartition(":")[2]}\n'
        f'[hosts.attic]\naddress = "127.0.0.1"\nserial = {free_port()}\n'
    )
    command = ["usbshare-bridge", "--config", str(config), "status", "--json"]
    done = completed([*command, "--timeout", "20"], home)
    assert done.returncode == 0, done.stderr
    assert [(each["host"], each["id"]) for each in json.loads(done.stdout)] == [
        ("workshop", "laser"),
        ("workshop", "printer"),
    ]
    assert "attic" in done.stderr


def test_a_host_that_does_not_answer_is_one_line(home: Path, target: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    for command in (
        ["usbshare-bridge", "status", "--target", nobody],
        ["serial-svc", "--listen", nobody, "status"],
    ):
        code, said = run(command, home)
        assert code == 1
        assert len(said.splitlines()) == 1, said
        assert f"nothing listens at {nobody}" in said


def test_a_host_that_goes_and_comes_back_is_shown_so(tmp_path: Path) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    watch = ["usbshare-bridge", "status", "--target", address, "--watch", "--json"]

    def serve() -> Any:
        return serial_service(tmp_path, "--listen", address)

    with ExitStack() as stack:
        with serve():
            status = stack.enter_context(running([*watch, "--interval", "0.1"], tmp_path))
            status.wait_for('"id": "demo"')
        status.wait_for('"error": ')
        status.lines.clear()
        with serve():
            status.wait_for('"id": "demo"')


@pytest.mark.parametrize("more", [[], ["--latency"]])
def test_a_host_that_falls_silent_is_shown_so_before_why_it_failed_is_known(
    tmp_path: Path, more: list[str]
) -> None:
    with serial_service(tmp_path) as (service, address):
        watch = ["usbshare-bridge", "status", *more, "--target", address, "--watch", "--json"]
        with running([*watch, "--interval", "0.1"], tmp_path) as status:
            status.wait_for('"silent_since": null, "id": "demo"')
            service.process.send_signal(signal.SIGSTOP)
            try:
                status.wait_for('"error": ')
            finally:
                service.process.send_signal(signal.SIGCONT)
            silent = '"silent_since": "20'
            told = [line for line in status.lines if silent in line]
            assert '"id": "demo"' in told[0]
            assert '"error": ' in told[-1]


def test_latency_shows_all_six_parts_while_a_program_asks(home: Path, target: str) -> None:
    port = home / "COM1"
    bridge = [
        "usbshare-bridge",
        "--target",
        target,
        "--port",
        "laser",
        "--vcom",
        str(port),
        "--json",
    ]
    latency = ["usbshare-bridge", "status", "--target", target, "--latency", "--watch", "--json"]
    with running(bridge, home) as bridged:
        bridged.wait_for('"event": "ready"')
        with serial.Serial(str(port), 115200, timeout=30) as program:
            program.write(b"\x18")
            program.read_until(b"]\r\n")
            for _ in range(8):
                program.write(b"G4 P0\n")
                program.read_until(b"ok\r\n")
                program.write(b"?")
                program.read_until(b">\r\n")
            with running([*latency, "--interval", "0.1"], home) as status:
                status.wait_for(_measured("laser", *(part.value for part in PartKind)))
        bridged.wait_for(r'"event": "status".*"network": \{"p50_ms"')


def _measured(port: str, *parts: str) -> str:
    """Return what a line matches with times of all these parts, in their order."""
    each = "".join(rf'"part": "{part}"[^}}]*"times": \{{"p50_ms".*' for part in parts)
    return rf'"id": "{port}".*{each}'
