"""The service as its operator sees it: metrics, logs, the end."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path

from fakes.processes import Process, environment, free_port, run, running, serial_service


def test_metrics_are_served_where_configured(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "usbshare.toml"
    config.write_text(f'[service]\nmetrics = "{address}"\n[ports.laser]\nsource = "sim://grbl"\n')
    with serial_service(tmp_path, "--config", str(config)) as (_, target):
        assert run(["bridge", "send", "--target", target, "$I"], tmp_path)[0] == 0
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
            metrics = reply.read().decode()
    assert 'usbshare_serial_written_bytes_total{port="laser"} 3.0' in metrics
    assert 'usbshare_serial_queue_time_seconds_count{port="laser"} 1.0' in metrics


def test_a_metrics_address_in_use_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        config.write_text(f'[service]\nmetrics = "{address}"\n')
        with serial_service(tmp_path, "--config", str(config)) as (service, target):
            service.wait_for(f"service.metrics: cannot listen at {address}: .* trying again")
            assert run(["bridge", "list", "--target", target], tmp_path)[0] == 0
            held.close()
            service.wait_for("metrics are available now")
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
                assert b"usbshare_rules_closed 0.0" in reply.read()
            assert "Traceback" not in service.output


def test_logs_are_json_lines_where_configured(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text('[service]\nlog_format = "json"\n')
    with serial_service(tmp_path, "--config", str(config)) as (service, _):
        pass
    lines = [json.loads(line) for line in service.lines]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert lines[-1]["message"] == "stopped"


def test_both_signals_end_the_service_cleanly_and_notify_its_clients(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        service = Process(["serial-svc", "--listen", "127.0.0.1:0"], environment(tmp_path))
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
        bridge = ["bridge", "--target", target, "--vcom", "COM10"]
        with running(bridge, tmp_path) as client:
            client.wait_for("ready: open")
            assert service.stop(number) == 0
            client.wait_for("link lost: the service closed the session")
        assert "Traceback" not in service.output


def test_the_site_stays_the_same_at_the_next_start(tmp_path: Path) -> None:
    with serial_service(tmp_path) as (first, _):
        site = first.wait_for(r"site ([0-9a-f]+)\)")[1]
    with serial_service(tmp_path) as (second, _):
        assert second.wait_for(r"site ([0-9a-f]+)\)")[1] == site
    for key in ("ca.key", "server.key"):
        path = tmp_path / "config" / "usbshare" / "site" / key
        assert path.stat().st_mode & 0o777 == 0o600
    bundle = tmp_path / "config" / "usbshare" / "client.pem"
    assert bundle.stat().st_mode & 0o777 == 0o600
