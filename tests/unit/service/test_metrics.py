"""Metrics are asked for over plain HTTP by anybody: that costs a service little, whoever comes."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fakes.certificates import make_site
from usbshare.base.line_writer import MOST_WAITING
from usbshare.base.log_writer import LogWriter
from usbshare.service import metrics
from usbshare.service.metrics import CertificateCollector, serve_metrics

DEADLINE_S = 30.0


class Gauge(Collector):
    """Counts how often it is asked, and by how many threads at a time."""

    def __init__(self) -> None:
        self.asked = 0
        self.threads: set[int] = set()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.asked += 1
        self.threads.add(threading.get_ident())
        yield GaugeMetricFamily("usbshare_test", "A test.", value=7)


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def scrape(port: int, host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=DEADLINE_S) as answer:
        return str(answer.read(), "utf-8")


def test_a_scrape_gets_the_figures() -> None:
    port = free_port("127.0.0.1")
    serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464, Gauge())
    assert "usbshare_test 7.0" in scrape(port)


def test_many_requests_wait_and_take_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    port, gauge = free_port("127.0.0.1"), Gauge()
    serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464, gauge)
    gauge.threads.clear()
    asking = [threading.Thread(target=scrape, args=(port,)) for _ in range(20)]
    for each in asking:
        each.start()
    for each in asking:
        each.join(DEADLINE_S)
    assert gauge.asked >= 20
    assert len(gauge.threads) == 1
    assert set(paused) == {metrics.LEAST_INTERVAL_S}


def test_a_silent_peer_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics._Handler, "timeout", 0.05)
    port = free_port("127.0.0.1")
    serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464, Gauge())
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as silent:
        assert silent.recv(1) == b""
    assert "usbshare_test 7.0" in scrape(port)


def test_a_client_that_asks_byte_by_byte_delays_others_only_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "LONGEST_REQUEST_S", 0.3)
    port = free_port("127.0.0.1")
    serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464, Gauge())
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as slow:
        end, is_over = time.monotonic() + DEADLINE_S, False
        while not is_over:
            assert time.monotonic() < end
            try:
                slow.sendall(b"G")
            except OSError:
                is_over = True
            time.sleep(0.01)
    assert "usbshare_test 7.0" in scrape(port)


def test_a_port_in_use_is_reported_by_its_key_and_stops_no_service(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "TRY_AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464, Gauge())
        assert f"service.metrics: cannot listen at 127.0.0.1:{port}" in caplog.text
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            assert "usbshare_test 7.0" in scrape(port)
        except OSError:
            assert time.monotonic() < end
        else:
            break


def test_log_lines_that_were_dropped_are_counted() -> None:
    port = free_port("127.0.0.1")
    serve_metrics(f"127.0.0.1:{port}", "service.metrics", 9464)
    reading, writing = os.pipe()
    root = logging.getLogger()
    with os.fdopen(writing, "w") as stderr:
        writer = LogWriter(stderr)
        root.addHandler(writer)
        try:
            for number in range(3 * MOST_WAITING):
                root.error("%d %s", number, "x" * 100)
            lost = writer.lines.lost
            assert lost > 0
            assert f"usbshare_log_lines_lost_total {float(lost)}" in scrape(port)
        finally:
            root.removeHandler(writer)
            os.close(reading)
            writer.close()


def test_the_ends_of_all_certificates_are_metrics(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    registry = CollectorRegistry()
    registry.register(CertificateCollector(site))
    text = generate_latest(registry).decode()
    for name in ("authority", "host", "operator", "services"):
        assert f'usbshare_certificate_end_timestamp_seconds{{certificate="{name}"}}' in text
    own = x509.load_pem_x509_certificates(site.server_certificate.read_bytes())[0]
    found = registry.get_sample_value(
        "usbshare_certificate_end_timestamp_seconds", {"certificate": "host"}
    )
    assert found == own.not_valid_after_utc.timestamp()
