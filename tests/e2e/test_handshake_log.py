"""Refused handshakes as an operator of each service sees them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from fakes.processes import running, serial_service

HTTP = b"GET / HTTP/1.1\r\nHost: laser\r\n\r\n"


def knock(port: str) -> None:
    """Speak plain HTTP until hung up on."""
    with socket.create_connection(("127.0.0.1", int(port)), 30) as connection:
        connection.sendall(HTTP)
        connection.recv(100)


@pytest.mark.parametrize("script", ["serial-svc", "camera-svc", "discovery-svc"])
def test_every_service_reports_whom_it_refused(tmp_path: Path, script: str) -> None:
    with running([script, "--listen", "127.0.0.1:0"], tmp_path) as service:
        knock(service.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1])
        service.wait_for(r"refused 127\.0\.0\.1:\d+: it speaks plain HTTP")
        assert service.stop() == 0
    assert "handshaker" not in service.output
    assert "not suitable for production" not in service.output


def test_a_refused_handshake_is_in_the_audit_log(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, target):
        knock(target.rpartition(":")[2])
        service.wait_for("it speaks plain HTTP")
        assert service.stop() == 0
    (log,) = tmp_path.rglob("serial-svc.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (refused,) = [each for each in events if each["event"] == "handshake refused"]
    assert refused["reason"] == "plaintext"
    assert refused["address"].startswith("127.0.0.1:")


def test_refusals_are_json_where_the_log_is(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text('[service]\nlog_format = "json"\n')
    with serial_service(tmp_path, "--config", str(config)) as (service, target):
        knock(target.rpartition(":")[2])
        service.wait_for("it speaks plain HTTP")
    assert all(json.loads(line)["message"] for line in service.lines)


def test_a_user_who_calls_grpc_directly_gets_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "INFO")
    monkeypatch.setenv("GRPC_TRACE", "handshaker,http")
    with serial_service(tmp_path) as (service, target):
        knock(target.rpartition(":")[2])
        service.wait_for("CallNextHandshakerLocked: error=UNKNOWN")
    assert "it speaks plain HTTP" not in service.output


def test_a_service_may_have_as_many_connections_as_the_system_allows(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (service, _):
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard
