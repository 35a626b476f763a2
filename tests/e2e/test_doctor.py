"""`bridge doctor` and `serial-svc doctor` as a person runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.namespaces import Namespace, Wire, joined_namespaces
from fakes.processes import SCRIPTS, run, running, serial_service
from fakes.serial_device import plugged_in
from usbshare.hosts.settings import INTERFACES_VARIABLE


def verdicts(output: str) -> dict[str, str]:
    """Return the verdict of each check from JSON output."""
    return {check["check"]: check["verdict"] for check in json.loads(output)["checks"]}


def lines_of(output: str, verdict: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(verdict)]


def test_where_a_connection_works_the_exit_code_is_0(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        command = ["bridge", "doctor", "--target", target, "--vcom", "COM10"]
        code, output = run(command, tmp_path)
        assert code == 0, output
        assert lines_of(output, "FAIL") == lines_of(output, "skip") == []
        assert "port 'demo' is available and free" in output
        assert "115200 8N1, profile auto (not open yet)" in output
        # What was checked is true: the same connection works.
        with running(["bridge", "--target", target, "--vcom", "COM10"], tmp_path) as bridge:
            bridge.wait_for("ready: open")


def test_without_a_service_the_exit_code_is_1_and_the_remedy_is_reported(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        pass
    code, output = run(["bridge", "doctor", "--target", target], tmp_path)
    assert code == 1
    assert [" ".join(line.split()) for line in lines_of(output, "FAIL")] == [
        f"FAIL TCP nothing listens at {target}"
    ]
    assert "-> is the service running on the host" in output
    assert "Traceback" not in output


def test_a_wrong_configuration_is_a_finding_and_the_other_checks_are_made(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text("[bridge]\nremember = 7\n[discovery]\nbeacon_port = 0\n")
    with serial_service(tmp_path) as (_, target):
        command = ["bridge", "--config", str(config), "doctor", "--target", target, "--json"]
        code, output = run(command, tmp_path)
    assert code == 1
    found = verdicts(output)
    assert found.pop("configuration") == "fail"
    assert "fail" not in found.values()
    (first, *_) = json.loads(output)["checks"]
    assert "bridge.remember" in first["measured"]
    assert "discovery.beacon_port" in first["measured"]


def test_a_bare_doctor_examines_what_a_bare_bridge_would_do(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        command = ["bridge", "--target", target, "--vcom", "COM12"]
        with running(command, tmp_path) as bridge:
            bridge.wait_for("ready: open")
        code, output = run(["bridge", "doctor"], tmp_path)
    assert code == 0, output
    assert f"{target}, by address" in output
    assert "/COM12 is free" in output


def test_beside_the_bridge_that_runs_here_all_is_well(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        arguments = ["--target", target, "--vcom", "COM10"]
        with running(["bridge", *arguments], tmp_path) as bridge:
            bridge.wait_for("ready: open")
            code, output = run(["bridge", "doctor", *arguments, "--json"], tmp_path)
    assert code == 0, output
    found = verdicts(output)
    assert found["port"] == found["virtual port"] == "warn"


def test_a_name_taken_by_a_bridge_to_another_host_fails(tmp_path: Path) -> None:
    vcom = ["--vcom", "COM10"]
    with serial_service(tmp_path) as (_, target), serial_service(tmp_path) as (_, other):
        bridge = ["bridge", "--target", other, *vcom]
        with running(bridge, tmp_path) as running_bridge:
            running_bridge.wait_for("ready: open")
            code, output = run(["bridge", "doctor", "--target", target, *vcom], tmp_path)
    assert code == 1
    (line,) = lines_of(output, "FAIL")
    assert "another usbshare program (process" in line


def test_a_latched_port_fails_until_it_is_rearmed(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        doctor = ["bridge", "doctor", "--target", target]
        assert run(["bridge", "stop", "--target", target], tmp_path)[0] == 0
        code, output = run(doctor, tmp_path)
        assert code == 1
        assert "is latched by an emergency stop" in output
        assert run(["bridge", "stop", "--rearm", "--target", target], tmp_path)[0] == 0
        assert run(doctor, tmp_path)[0] == 0


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    assert run(["bridge", "doctor", "--nonsense"], tmp_path)[0] == 2


def test_the_host_finds_a_program_that_holds_its_device(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    link = tmp_path / "ttyLaser"
    config.write_text(
        f'[service]\nlisten = "127.0.0.1:0"\n[ports.laser]\nsource = "{link}"\n'
        f'[ports.gone]\nsource = "{tmp_path}/ttyGone"\n'
    )
    with plugged_in(link):
        command = ["serial-svc", "doctor", "--config", str(config), "--json"]
        code, output = run(command, tmp_path)
    assert code == 1
    found = verdicts(output)
    assert found["configuration"] == found["port 'laser'"] == "ok"
    # The far end of the test's own terminal is in this process, which therefore holds it.
    assert found["port 'laser' holder"] == "fail"
    assert found["port 'gone'"] == "fail"
    assert found["port 'gone' holder"] == "skip"


def test_the_host_with_its_running_service_is_well(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (_, target):
        code, output = run(["serial-svc", "doctor", "--listen", target], tmp_path)
    assert code == 0, output
    assert f"{target}: the service is running and answers" in output
    assert lines_of(output, "FAIL") == []


def test_a_host_with_a_wrong_configuration_fails(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text("[queue]\nmax_commands = 0\n")
    code, output = run(["serial-svc", "--config", str(config), "doctor"], tmp_path)
    assert code == 1
    assert "queue.max_commands" in lines_of(output, "FAIL")[0]


# Two computers.


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as made:
        yield made


def everywhere(namespace: Namespace, *arguments: str) -> list[str]:
    """Return the command line of a script there that uses all interfaces, not loopback alone."""
    script = str(SCRIPTS / arguments[0])
    return namespace.command(["env", "-u", INTERFACES_VARIABLE, script, *arguments[1:]])


@contextmanager
def host_with_discovery(wire: Wire, home: Path) -> Iterator[None]:
    config = home / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\n[discovery]\nname = "Workshop"\n')
    serial = everywhere(wire.host, "serial-svc", "--config", str(config))
    discovery = everywhere(wire.host, "discovery-svc", "--config", str(config))
    with running(serial, home) as service:
        service.wait_for("ready at")
        with running(discovery, home) as other:
            other.wait_for("ready at")
            service.wait_for("announced")
            yield


def test_another_computer_is_heard_and_all_its_services_are_asked(
    tmp_path: Path, wire: Wire
) -> None:
    with host_with_discovery(wire, tmp_path):
        doctor = everywhere(wire.client, "bridge", "doctor", "--target", wire.host.address)
        code, output = run(doctor, tmp_path)
    assert code == 0, output
    assert re.search(rf"ok +multicast .* from {re.escape(wire.host.address)}", output), output
    assert "serial SERVING, discovery SERVING" in output


def test_a_host_is_found_by_its_name(tmp_path: Path, wire: Wire) -> None:
    with host_with_discovery(wire, tmp_path):
        doctor = everywhere(wire.client, "bridge", "doctor", "--target", "Workshop")
        code, output = run(doctor, tmp_path)
    assert code == 0, output
    assert f"Workshop: {wire.host.address}:50051, by discovery" in output


def test_a_computer_that_is_cut_off_is_unreachable_and_not_heard(
    tmp_path: Path, wire: Wire
) -> None:
    with host_with_discovery(wire, tmp_path):
        wire.drop_packets(wire.host)
        doctor = everywhere(wire.client, "bridge", "doctor", "--target", wire.host.address)
        code, output = run(doctor, tmp_path)
    assert code == 1
    assert f"{wire.host.address}:50051 does not answer" in lines_of(output, "FAIL")[0]
    assert "does its firewall let the port through?" in output
    assert "nothing heard" in output or "only this computer's own packets heard" in output
