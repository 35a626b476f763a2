"""Programs that speak TCP or RFC 2217 to the bridge: real processes, real mTLS, real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from fakes.processes import Process, run, running, serial_service
from fakes.socket_program import ask

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


@contextmanager
def offered(home: Path, target: str, kind: str) -> Iterator[tuple[Process, str]]:
    """Run a bridge that listens for programs of this kind; yields it and its HOST:PORT."""
    arguments = ["bridge", "--target", target, f"--{kind}", "127.0.0.1:0"]
    with running(arguments, home) as bridge:
        ready = bridge.wait_for(rf"ready: open {kind}://(127\.0\.0\.1:[1-9]\d*)$")
        yield bridge, ready[1]
        assert bridge.stop() == 0


@contextmanager
def program(where: str) -> Iterator[socket.socket]:
    host, _, port = where.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connected:
        yield connected


def ask_port(port: serial.SerialBase, line: bytes) -> list[bytes]:
    port.write(line)
    answer: list[bytes] = []
    while not answer or answer[-1] != b"ok":
        got = port.readline()
        assert got.endswith(b"\n"), f"no end of the answer: {answer} {got!r}"
        answer.append(got.strip())
    return answer


def listed_baud(home: Path, target: str) -> int:
    _, output = run(["bridge", "list", "--target", target, "--json"], home)
    return int(json.loads(output)[0]["baud"])


def test_programs_that_speak_tcp_come_one_after_another(home: Path, target: str) -> None:
    with offered(home, target, "tcp") as (bridge, where):
        for _ in range(2):
            with program(where) as connected:
                assert b"[VER:1.1h" in ask(connected, b"$I\n")
        with program(where) as connected:
            connected.sendall(b"?")
            assert connected.recv(1) == b"<"
        bridge.wait_for("was closed")


def test_a_program_that_sends_no_more_gets_all_its_answers(home: Path, target: str) -> None:
    """As `printf '$I\\nG4P1\\n' | nc -N` does."""
    with offered(home, target, "tcp") as (_, where), program(where) as connected:
        connected.sendall(b"$I\nG4P1\n$I\n")
        connected.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while got := connected.recv(4096):
            answer += got
        assert answer.count(b"[VER:1.1h") == 2
        assert answer.count(b"ok\r\n") == 3


def test_a_second_program_at_once_is_refused(home: Path, target: str) -> None:
    with offered(home, target, "tcp") as (bridge, where), program(where) as first:
        bridge.wait_for("a program opened tcp://")
        with program(where) as second:
            assert second.recv(1) == b""
        assert b"[VER:1.1h" in ask(first, b"$I\n")


def test_many_lines_at_once_are_all_answered(home: Path, target: str) -> None:
    with offered(home, target, "tcp") as (_, where), program(where) as connected:
        connected.sendall(b"G4P0\n" * 2000)
        received = bytearray()
        while received.count(b"ok\r\n") < 2000:
            got = connected.recv(65536)
            assert got
            received += got
        assert b"error" not in received


def test_pyserial_over_rfc2217_sets_the_real_port(home: Path, target: str) -> None:
    with (
        offered(home, target, "rfc2217") as (_, where),
        serial.serial_for_url(f"rfc2217://{where}", 115200, timeout=DEADLINE_S) as port,
    ):
        assert any(line.startswith(b"[VER:1.1h") for line in ask_port(port, b"$I\n"))
        port.dtr = False
        port.rts = False
        port.dtr = port.rts = True
        assert port.cts is True
        assert port.dsr is True
        port.baudrate = 57600
        end = time.monotonic() + DEADLINE_S
        while listed_baud(home, target) != 57600:
            assert time.monotonic() < end
        port.baudrate = 115200
        while listed_baud(home, target) != 115200:
            assert time.monotonic() < end
        assert ask_port(port, b"\n")[-1] == b"ok"


@pytest.mark.parametrize("kind", ["tcp", "rfc2217"])
def test_an_address_that_others_reach_is_refused(home: Path, kind: str) -> None:
    code, output = run(["bridge", "--target", "nowhere", f"--{kind}", "0.0.0.0:2323"], home)
    assert code == 2
    assert output == (
        "bridge: refused to listen at 0.0.0.0:2323: anyone who can connect there could move the "
        "machine: use 127.0.0.1:2323"
    )


def test_a_port_in_use_is_named(home: Path, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, output = run(["bridge", "--target", target, "--tcp", where], home)
    assert code == 2
    assert f"cannot offer tcp://{where}: another program listens there" in output
    assert "Traceback" not in output


def test_exactly_one_kind_of_port_is_asked_for(tmp_path: Path) -> None:
    bridge = ["bridge", "--target", "nowhere"]
    code, output = run([*bridge, "--vcom", "COM10", "--tcp", "127.0.0.1:0"], tmp_path)
    assert code == 2
    assert "Give exactly one of '--vcom', '--usb-port', '--tcp' and '--rfc2217'." in output
    code, output = run(bridge, tmp_path)
    assert code == 2
    assert "Missing option '--vcom'" in output
    assert "'--tcp'" in output
