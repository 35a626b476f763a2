"""Connections that send frames which ask for nothing delay no stop and end no session."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes import frame_flood
from fakes.processes import Process, running, serial_service
from usbshare.bridge.client import SerialClient
from usbshare.common.channel import parse_target
from usbshare.common.profiles import StopAction
from usbshare.common.tls import ClientBundle

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux counts the bytes of each connection"
)

STOPS = 20
STOP_TIMEOUT_S = 10.0
# What a stop may take on a machine that does other things too; alone it is some milliseconds.
LONGEST_STOP_S = 2.0


@contextmanager
def flooding(target: str, kind: str, count: int, bundle: Path | None) -> Iterator[None]:
    """Flood from a process of its own while the block lasts."""
    arguments = [target, kind, str(count), *([str(bundle)] if bundle else [])]
    process = subprocess.Popen(
        [sys.executable, frame_flood.__file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


async def hold_times_s(target: str, bundle: Path, count: int = STOPS) -> list[float]:
    """Return what each of so many stops took, the first with a connection of its own."""
    found = []
    client = SerialClient(parse_target(target), ClientBundle.load(bundle))
    try:
        for _ in range(count):
            began = time.monotonic()
            await client.stop("laser", StopAction.HOLD, "test", timeout_s=STOP_TIMEOUT_S)
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
    finally:
        await client.close()
    return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    configuration = tmp_path / "usbshare.toml"
    configuration.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
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
            process.wait_for("ended a connection from 127.0.0.1, which sent more than 8000000")
            times = asyncio.run(hold_times_s(target, bundle))
        assert len(times) == STOPS
        assert max(times) < LONGEST_STOP_S
        assert "again" not in bridge.output  # neither "connecting again" nor "open again"
        assert bridge.stop() == 0
