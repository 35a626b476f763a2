"""A machine through both of our ends of USB/IP: the bridge's USB port, and a source `usbip://`.

program, bridge, service with the source, USB/IP on loopback, bridge with the USB port, service with
the machine: everything a process, and neither kernel nor driver between.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.processes import Process, run, running, serial_service
from fakes.socket_program import ask

DEADLINE_S = 60.0


@contextmanager
def service(home: Path, source: str, port: str) -> Iterator[tuple[Process, str]]:
    home.mkdir()
    config = home / "usbshare.toml"
    config.write_text(f'[ports.{port}]\nsource = "{source}"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as started:
        yield started


@contextmanager
def joined(home: Path, target: str, kind: str, pattern: str) -> Iterator[re.Match[str]]:
    """Run a bridge that offers the port in a way."""
    arguments = ["bridge", "--target", target, f"--{kind}", "127.0.0.1:0"]
    with running(arguments, home) as bridge:
        yield bridge.wait_for(pattern)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[socket.socket, Process, Process]]:
    """Yield a program's connection, the service with the machine, and the one with the source."""
    near, far = tmp_path / "near", tmp_path / "far"
    with (
        service(far, "sim://grbl", "laser") as (far_service, far_target),
        joined(far, far_target, "usb-port", r"usbip://127\.0\.0\.1:(\d+)/1-1") as usb,
        service(near, f"usbip://127.0.0.1:{usb[1]}/1-1", "mill") as (near_service, near_target),
        joined(near, near_target, "tcp", r"open tcp://127\.0\.0\.1:([1-9]\d*)$") as tcp,
        socket.create_connection(("127.0.0.1", int(tcp[1])), timeout=DEADLINE_S) as connected,
    ):
        yield connected, far_service, near_service


def test_a_machine_is_used_through_both_ends(
    program: tuple[socket.socket, Process, Process], tmp_path: Path
) -> None:
    connected, _, near = program
    assert b"[VER:1.1h" in ask(connected, b"$I\n")
    for number in range(20):
        assert ask(connected, b"G1 X%d F6000\n" % number) == b"ok\r\n"
    near.wait_for(r"port 'mill' now belongs to the device")
    code, output = run(["bridge", "list", "--target", target_of(near), "--json"], tmp_path / "near")
    assert code == 0, output


def test_a_machine_that_is_stopped_hangs_up_at_the_other_end_too(
    program: tuple[socket.socket, Process, Process], tmp_path: Path
) -> None:
    connected, far, near = program
    assert b"[VER:1.1h" in ask(connected, b"$I\n")
    code, output = run(["bridge", "stop", "--target", target_of(far)], tmp_path / "far")
    assert code == 0, output
    near.wait_for(r"port 'mill' lost its device: usbip://")
    while connected.recv(4096):
        pass


def target_of(service: Process) -> str:
    return f"127.0.0.1:{service.wait_for(r'ready at 127[.]0[.]0[.]1:([0-9]+)')[1]}"
