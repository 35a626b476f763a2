"""Connections that send frames which ask for nothing delay no stop and end no session."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.flooding import LONGEST_STOP_S, STOPS, flooding, hold_times_s
from fakes.processes import Process, running, serial_service

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux counts the bytes of each connection"
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    configuration = tmp_path / "usbshare.toml"
    configuration.write_text(
        '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\nlink_timeout_s = 10\n'
    )
    with serial_service(tmp_path, "--config", str(configuration)) as running_service:
        yield running_service


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("window_update", 1),
        ("window_update", 3),
        ("priority", 3),
        ("ping", 3),
        ("unknown", 3),
        ("large_unknown", 3),
    ],
)
def test_stops_and_the_session_outlast_a_flood(
    tmp_path: Path, service: tuple[Process, str], kind: str, count: int
) -> None:
    process, target = service
    bundle = tmp_path / "config/usbshare/client.pem"
    with running(["bridge", "--target", target, "--vcom", "COM10"], tmp_path) as bridge:
        bridge.wait_for("ready: open")
        with flooding(target, kind, count, bundle):
            process.wait_for("closed a connection from 127.0.0.1, which sent more than 8000000")
            times = asyncio.run(hold_times_s(target, bundle))
        assert len(times) == STOPS
        assert max(times) < LONGEST_STOP_S
        assert "again" not in bridge.output  # neither "connecting again" nor "open again"
        assert bridge.stop() == 0
