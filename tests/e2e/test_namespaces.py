"""Two computers with a wire between them that is pulled: real interfaces, real TCP."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from fakes.namespaces import Wire, joined_namespaces
from fakes.processes import SCRIPTS, Process, running

DEADLINE_S = 60.0
TARGET_PORT = 50051
Fault = Callable[[Wire], None]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as made:
        yield made


@contextmanager
def service(wire: Wire, home: Path) -> Iterator[Process]:
    config = home / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nlink_loss = "continue"\n')
    listen = f"{wire.host.address}:{TARGET_PORT}"
    command = [str(SCRIPTS / "serial-svc"), "--config", str(config), "--listen", listen]
    with running(wire.host.command(command), home) as process:
        process.wait_for("ready at")
        yield process


@contextmanager
def bridge(wire: Wire, home: Path) -> Iterator[Process]:
    target = f"{wire.host.address}:{TARGET_PORT}"
    command = [str(SCRIPTS / "bridge"), "--target", target, "--vcom", "COM10"]
    with running(wire.client.command(command), home) as process:
        process.wait_for("ready: open")
        yield process


def ask_for_version(port: serial.Serial) -> None:
    port.write(b"$I\n")
    end = time.monotonic() + DEADLINE_S
    while b"[VER:1.1h" not in port.readline():
        assert time.monotonic() < end


def wait_for_next(process: Process, pattern: str, since: int) -> None:
    """Return once a line after that many matches."""
    end = time.monotonic() + DEADLINE_S
    while not any(re.search(pattern, line) for line in process.lines[since:]):
        assert time.monotonic() < end, f"no {pattern!r} in:\n{process.output}"
        assert process.process.poll() is None, process.output
        time.sleep(0.02)


def report(*words: object) -> None:
    print(*words)  # the figures of this run, shown with `-s`


def pull_the_wire(wire: Wire) -> None:
    wire.link_down()


def plug_the_wire(wire: Wire) -> None:
    wire.link_up()


def drop_all_packets(wire: Wire) -> None:
    wire.drop_packets()


def drop_no_packets(wire: Wire) -> None:
    wire.heal()


@pytest.mark.parametrize(
    ("begin", "end"),
    [(pull_the_wire, plug_the_wire), (drop_all_packets, drop_no_packets)],
    ids=["link down", "packets dropped"],
)
def test_a_lost_link_is_reported_and_comes_back(
    tmp_path: Path, wire: Wire, begin: Fault, end: Fault
) -> None:
    with (
        service(wire, tmp_path),
        bridge(wire, tmp_path) as process,
        serial.Serial(str(tmp_path / "run/usbshare/COM10"), 115200, timeout=DEADLINE_S) as port,
    ):
        ask_for_version(port)
        for _ in range(2):
            since = len(process.lines)
            start = time.monotonic()
            begin(wire)
            wait_for_next(process, "link lost", since)
            report(f"told after {time.monotonic() - start:.2f} s")
            end(wire)
            wait_for_next(process, "session resumed|connected to port", since)
            report(f"back after {time.monotonic() - start:.2f} s")
            ask_for_version(port)


def test_nothing_is_left_of_the_namespaces(wire: Wire) -> None:
    names = {wire.host.name, wire.client.name}
    assert names <= {path.name for path in Path("/run/netns").iterdir()}
