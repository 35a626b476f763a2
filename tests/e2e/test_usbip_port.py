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
from fakes.socket_program import ask

TESTS = Path(__file__).parents[1]
DEADLINE_S = 60.0


@dataclass
class Server:
    """The server that has the board, on one port of loopback however often it is started."""

    home: Path
    port: int = field(default_factory=free_port)
    running: Process | None = None

    @property
    def source(self) -> str:
        return f"usbip://127.0.0.1:{self.port}/2341:0043:75330303035351F0E1A1"

    def start(self) -> None:
        """Start it with a board that runs a simulated GRBL; kill the one before."""
        self.kill()
        place = {**environment(self.home), "PYTHONPATH": str(TESTS)}
        arguments = ["python", "-m", "fakes.usbip_mock", "arduino_uno_r3", "keyboard", "--port"]
        self.running = Process([*arguments, str(self.port)], place)
        self.running.wait_for(r"usbip://.*1-2 ")

    def kill(self) -> None:
        """End it; it says goodbye to nobody."""
        if self.running is not None:
            self.running.stop(signal.SIGKILL)
            self.running = None

    def freeze(self) -> None:
        """Have it do nothing any more, its connections left as they are."""
        assert self.running is not None
        self.running.process.send_signal(signal.SIGSTOP)


@dataclass(frozen=True)
class Host:
    """The service, and the bridge's port for programs."""

    home: Path
    service: Process
    target: str
    programs: str

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
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


@contextmanager
def hosting(home: Path, server: Server, listen: str = "127.0.0.1:0") -> Iterator[Host]:
    config = home / "usbshare.toml"
    config.write_text(f'[ports.mill]\nsource = "{server.source}"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config), "--listen", listen) as (service, target):
        arguments = ["bridge", "--target", target, "--tcp", "127.0.0.1:0"]
        with running(arguments, home) as bridge:
            programs = bridge.wait_for(r"open tcp://(127\.0\.0\.1:[1-9]\d*)$")[1]
            yield Host(home, service, target, programs)


@pytest.fixture
def host(tmp_path: Path, server: Server) -> Iterator[Host]:
    with hosting(tmp_path, server) as made:
        yield made


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
    host: Host, server: Server
) -> None:
    with host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        server.kill()
        assert is_hung_up(program)
    host.service.wait_for(r"port 'mill' lost its device: .* (closed the|the) connection")
    server.start()
    host.service.wait_for(r"reset the machine of a lost job")
    host.rearm()
    with host.program() as program:
        assert has_started(program)


def test_a_server_that_freezes_is_noticed_by_what_it_does_not_take(
    host: Host, server: Server
) -> None:
    with host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        server.freeze()
        program.sendall(b"?\n")
        assert is_hung_up(program)
    host.service.wait_for(r"its device: usbip:.*the server is silent; \d bytes were in transit")
    server.start()
    host.service.wait_for(r"reset the machine of a lost job")
    host.rearm()
    with host.program() as program:
        assert has_started(program)


def test_a_service_that_is_killed_during_a_job_stops_the_machine_when_it_starts(
    tmp_path: Path, server: Server
) -> None:
    listen = f"127.0.0.1:{free_port()}"  # what a service notes is for the one at its address
    with hosting(tmp_path, server, listen) as host, host.program() as program:
        assert b"[VER:1.1h" in ask(program, b"$I\n")
        assert ask(program, b"G1 X1000 F60\n") == b"ok\r\n"
        host.service.stop(signal.SIGKILL)
    config = str(tmp_path / "usbshare.toml")
    with serial_service(tmp_path, "--config", config, "--listen", listen) as (service, _):
        service.wait_for(r"port 'mill' was running a job when the service crashed")
        service.wait_for(r"on port 'mill' by link-loss policy: sent b'\\x84'")


def test_a_device_without_a_serial_port_is_refused_with_the_reason(
    tmp_path: Path, server: Server
) -> None:
    config = tmp_path / "other.toml"
    source = f"usbip://127.0.0.1:{server.port}/1-2"
    config.write_text(f'[ports.keys]\nsource = "{source}"\n')
    with serial_service(tmp_path, "--config", str(config)) as (_, target):
        code, output = run(["bridge", "--target", target, "--tcp", "127.0.0.1:0"], tmp_path)
        assert code != 0
        assert "1-2 (046d:c31c) has no CDC-ACM serial port" in output
