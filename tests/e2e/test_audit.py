"""The audit log of a real service with a real bridge: written, shown, verified, and in need."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import serial

from fakes.processes import Process, run, running, serial_service
from usbshare.client.serial.client import SerialClient
from usbshare.line.profiles import StopAction
from usbshare.rpc.channel import parse_target
from usbshare.rpc.tls import ClientBundle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds state where Linux has it")

DEADLINE_S = 60.0
JOB = [b"$X\n", *[b"G1X%dF500\n" % (number % 5) for number in range(40)], b"M5\n"]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "usbshare.toml"
    path.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    return path


def audit_folder(home: Path) -> Path:
    return home / ".local/state/usbshare/audit"


@contextmanager
def bridged(home: Path, target: str) -> Iterator[Process]:
    with running(["bridge", "--target", target, "--vcom", "COM10"], home) as bridge:
        yield bridge


def send_job(home: Path) -> None:
    port_path = str(home / "run/usbshare/COM10")
    with serial.Serial(port_path, 115200, timeout=DEADLINE_S, write_timeout=DEADLINE_S) as port:
        for line in JOB:
            port.write(line)
            assert port.read_until(b"ok\r\n").endswith(b"ok\r\n")


def shown(home: Path, *options: str) -> list[dict[str, Any]]:
    code, output = run(["serial-svc", "audit", "show", "--json", *options], home)
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


def stop(home: Path, target: str, *options: str) -> tuple[int, str]:
    return run(["bridge", "stop", "--target", target, *options], home)


def wait_until_shown(home: Path, event: str) -> dict[str, Any]:
    end = time.monotonic() + DEADLINE_S
    while not (found := [entry for entry in shown(home) if entry["event"] == event]):
        assert time.monotonic() < end, f"no line says {event!r}"
    return found[-1]


def test_a_job_and_a_stop_are_reported_afterwards_with_who_it_was(
    tmp_path: Path, configuration: Path
) -> None:
    with serial_service(tmp_path, "--config", str(configuration)) as (service, target):
        with bridged(tmp_path, target) as bridge:
            bridge.wait_for("ready: open")
            send_job(tmp_path)
            assert stop(tmp_path, target, "--reason", "smoke")[0] == 0
            assert stop(tmp_path, target, "--rearm")[0] == 0
        assert service.stop() == 0
    entries = shown(tmp_path, "--who", "operator", "--port", "laser", "--since", "1h")
    events = [entry["event"] for entry in entries]
    for event in ("session opened", "control taken", "sent", "stop", "re-armed", "session closed"):
        assert event in events
    assert events.index("stop") < events.index("re-armed") < events.index("session closed")
    told = {entry["event"]: entry for entry in entries}
    assert told["sent"]["bytes"] == sum(map(len, JOB))
    assert told["sent"]["lines"] == len(JOB)
    assert told["sent"]["first_sha256"] == hashlib.sha256(b"$X").hexdigest()
    assert told["sent"]["last_sha256"] == hashlib.sha256(b"M5").hexdigest()
    assert told["stop"]["reason"] == "smoke"
    assert told["stop"]["latched"] is True
    assert told["stop"]["address"].startswith("127.0.0.1:")
    assert [entry["event"] for entry in shown(tmp_path)][:: len(shown(tmp_path)) - 1] == [
        "service started",
        "service stopped",
    ]
    code, output = run(["camera-svc", "audit", "verify"], tmp_path)
    assert (code, output.startswith("serial-svc: whole: ")) == (0, True)
    path = audit_folder(tmp_path) / "serial-svc.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"reason":"smoke"', b'"reason":"smile"'))
    code, output = run(["serial-svc", "audit", "verify"], tmp_path)
    assert code == 1
    assert "it was changed: its hash does not match" in output


def test_events_are_shown_as_they_happen(tmp_path: Path, configuration: Path) -> None:
    with serial_service(tmp_path, "--config", str(configuration)) as (_, target):
        with running(["serial-svc", "audit", "show", "--follow"], tmp_path) as follower:
            follower.wait_for("service started")
            assert stop(tmp_path, target, "--hold", "--reason", "lunch")[0] == 0
            follower.wait_for(r"stop 'laser' by operator \(.*\) action=hold reason=lunch")
            follower.stop()
        assert "Traceback" not in follower.output


def test_a_killed_service_leaves_a_log_that_is_whole(tmp_path: Path, configuration: Path) -> None:
    with (
        serial_service(tmp_path, "--config", str(configuration)) as (service, target),
        bridged(tmp_path, target) as bridge,
    ):
        bridge.wait_for("ready: open")
        wait_until_shown(tmp_path, "control taken")
        service.process.kill()
        service.wait()
    assert run(["serial-svc", "audit", "verify"], tmp_path)[0] == 0
    with serial_service(tmp_path, "--config", str(configuration)):
        wait_until_shown(tmp_path, "service started")
    code, output = run(["serial-svc", "audit", "verify"], tmp_path)
    assert code == 0, output
    events = [entry["event"] for entry in shown(tmp_path)]
    assert events.count("service started") == 2


@pytest.mark.parametrize("rule", ["warn", "required"])
def test_a_full_disk_does_not_keep_a_machine_from_being_stopped(
    tmp_path: Path, configuration: Path, rule: str
) -> None:
    policy = tmp_path / "config/usbshare/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text(
        f'audit = "{rule}"\n[groups]\nadmins = ["operator"]\n'
        '[[grants]]\nwho = ["admins"]\nrights = ["control", "admin"]\n'
    )
    log = audit_folder(tmp_path) / "serial-svc.jsonl"
    log.parent.mkdir(parents=True, mode=0o700)
    log.symlink_to("/dev/full")
    with serial_service(tmp_path, "--config", str(configuration)) as (service, target):
        service.wait_for("audit log serial-svc cannot be written: .*[Nn]o space left")
        code, output = stop(tmp_path, target, "--hold")
        assert code == 0, output
        if rule == "required":
            with bridged(tmp_path, target) as refused:
                refused.wait_for("cannot control port 'laser' while the audit log cannot be")
                assert refused.wait() == 1
            log.unlink()
            service.wait_for("audit log serial-svc can be written again")
        with bridged(tmp_path, target) as bridge:
            bridge.wait_for("ready: open")
        if rule == "warn":
            log.unlink()
        service.wait_for("audit log serial-svc can be written again")
        assert service.stop() == 0
    events = [entry["event"] for entry in shown(tmp_path)]
    assert events[0] == "service started"
    assert "stop" in events
    assert "control taken" in events
    assert run(["serial-svc", "audit", "verify"], tmp_path)[0] == 0


async def test_a_flood_of_stops_is_carried_out_and_reported_in_a_few_lines_that_count_it(
    tmp_path: Path, configuration: Path
) -> None:
    with serial_service(tmp_path, "--config", str(configuration)) as (service, target):
        bundle = ClientBundle.load(tmp_path / "config/usbshare/client.pem")
        client = SerialClient(parse_target(target), bundle)
        try:
            for _ in range(150):
                await client.stop("laser", StopAction.HOLD, "again")
        finally:
            await client.close()
        assert service.stop() == 0
    stops = [entry for entry in shown(tmp_path) if entry["event"] == "stop"]
    assert sum(entry.get("merged", 1) for entry in stops) == 150
    assert len(stops) < 50
    assert run(["serial-svc", "audit", "verify"], tmp_path)[0] == 0
