"""A board behind a USB/IP server as a port: real processes, and a server that dies or freezes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.processes import Process, environment, free_port, run, running, serial_service

TESTS = Path(__file__).parents[1]
DEADLINE_S = 60.0


@dataclass
class Host:
    """The service, the bridge's port for programs, and the server that has the board."""

    home: Path
    service: Process
    target: str
    programs: str
    server_port: int
    servers: list[Process] = field(default_factory=list)

    def serve(self) -> Process:
        """Start the server with a board that runs a simulated GRBL; end the one before."""
        self.end_server()
        place = {**environment(self.home), "PYTHONPATH": str(TESTS)}
        arguments = ["python", "-m", "fakes.usbip_mock", "arduino_uno_r3", "keyboard", "--port"]
        server = Process([*arguments, str(self.server_port)], place)
        self.servers.append(server)
        server.wait_for(r"usbip://.*1-2 ")
        return server

    def end_server(self) -> None:
        """Kill the server, which says goodbye to nobody."""
        if self.servers:
            self.servers.pop().stop(signal.SIGKILL)

    def rearm(self) -> None:
        """Let programs in again, as a person does who has looked at the machine."""
        code, output = run(["bridge", "stop", "--rearm", "--target", self.target], self.home)
        assert code == 0, output

    @contextmanager
    def program(self) -> Iterator[socket.socket]:
        host, _, port = self.programs.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connected:
            yield connected


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    port, config = free_port(), tmp_path / "usbshare.toml"
    source = f"usbip://127.0.0.1:{port}/2341:0043:75330303035351F0E1A1"
    config.write_text(f'[ports.mill]\nsource = "{source}"\nprofile = "grbl"\n')
    with serial_service(tmp_path, "--config", str(config)) as (service, target):
        arguments = ["bridge", "--target", target, "--tcp", "127.0.0.1:0"]
        made = Host(tmp_path, service, target, "", port)
        made.serve()
        try:
            with running(arguments, tmp_path) as bridge:
                made.programs = bridge.wait_for(r"open tcp://(127\.0\.0\.1:[1-9]\d*)$")[1]
                yield made
        finally:
            made.end_server()


def ask(connected: socket.socket, line: bytes) -> bytes:
    """Send a line and return what comes up to ok."""
    connected.sendall(line)
    answer = bytearray()
    while not answer.endswith(b"ok\r\n"):
        got = connected.recv(4096)
        assert got, f"hung up after {bytes(answer)!r}"
        answer += got
    return bytes(answer)


def has_started(connected: socket.socket) -> bool:
    """Ask until the board answers: what comes while it starts after a reset is lost."""
    connected.settimeout(1)
    heard = b""
    for _ in range(int(DEADLINE_S)):
        connected.sendall(b"$I\n")
        try:
            while b"[VER:1.1h" not in heard:
                heard += connected.recv(4096)
        except TimeoutError:
            continue
        return True
    return False


def is_hung_up(connected: socket.socket) -> bool:
    while True:
        try:
            if not connected.recv(4096):
                return True
        except ConnectionError:
            return True


def test_a_board_works_until_it_is_stopped_and_again_after(host: Host) -> None:
    with host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        assert ask(program, b"G1 X1 F600\n") == b"ok\r\n"
        code, output = run(["bridge", "stop", "--target", host.target], host.home)
        assert code == 0, output
        host.service.wait_for(r"emergency stop on port 'mill'.*sent b'\\x18'")
        assert is_hung_up(program)
    host.rearm()
    with host.program() as program:
        assert has_started(program)


def test_a_server_that_is_killed_takes_the_job_with_it_and_the_port_comes_back(
    host: Host,
) -> None:
    with host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        host.end_server()
        assert is_hung_up(program)
    host.service.wait_for(r"port 'mill' lost its device: usbip://.*closed the connection")
    host.serve()
    host.service.wait_for(r"reset the machine of a lost job")
    host.rearm()
    with host.program() as program:
        assert has_started(program)


def test_a_server_that_freezes_is_noticed_by_what_it_does_not_take(host: Host) -> None:
    with host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        host.servers[-1].process.send_signal(signal.SIGSTOP)
        program.sendall(b"?\n")
        assert is_hung_up(program)
    host.service.wait_for(r"lost its device: usbip://.*the server is silent; \d bytes were on")
    host.serve()
    host.service.wait_for(r"reset the machine of a lost job")
    host.rearm()
    with host.program() as program:
        assert has_started(program)


def test_what_is_no_serial_port_is_said_with_its_reason(tmp_path: Path, host: Host) -> None:
    config = tmp_path / "other.toml"
    source = f"usbip://127.0.0.1:{host.server_port}/1-2"
    config.write_text(f'[ports.keys]\nsource = "{source}"\n')
    with serial_service(tmp_path, "--config", str(config)) as (_, target):
        code, output = run(["bridge", "--target", target, "--tcp", "127.0.0.1:0"], tmp_path)
        assert code != 0
        assert "1-2 (046d:c31c) has no CDC-ACM serial port" in output
