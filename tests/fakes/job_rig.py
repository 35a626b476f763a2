"""A job that runs through bridge and service on a simulated laser, with a network that can fail."""

from __future__ import annotations

import os
import select
import socket
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import serial

from fakes.machine import Machine, simulated_machine
from fakes.network import Network, running_network
from fakes.processes import Process, running, serial_service

DEADLINE_S = 90.0


def open_port(path: Path) -> int:
    """Open a serial port raw."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    attributes = termios.tcgetattr(descriptor)
    attributes[0] = attributes[1] = attributes[3] = 0
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    return descriptor


def hears(descriptor: int, answer: bytes, within_s: float = DEADLINE_S) -> bool:
    """Read until the answer came; False once nothing comes for so long."""
    heard = b""
    while answer not in heard and select.select([descriptor], [], [], within_s)[0]:
        heard += os.read(descriptor, 4096)
    return answer in heard


def unlock(descriptor: int) -> None:
    """Wait for GRBL's restart, during which it loses what it gets, and unlock it.

    Only the state is asked again and again: of two `$X`, the program's next line would get an `ok`.
    """
    end = time.monotonic() + DEADLINE_S
    os.write(descriptor, b"?")
    while not hears(descriptor, b">", within_s=0.2):
        assert time.monotonic() < end, "the machine does not tell its state"
        os.write(descriptor, b"?")
    os.write(descriptor, b"$X\n")
    assert hears(descriptor, b"ok\r\n"), "the machine does not unlock"


FrontEnd = Literal["vcom", "tcp", "rfc2217"]


class Program(Protocol):
    """A program's end of its port, whatever that is; both raise OSError once it is hung up."""

    def write(self, data: bytes) -> object: ...

    def read(self) -> bytes:
        """Wait for bytes; none at a hang-up."""
        ...

    def close(self) -> None: ...


class PtyProgram:
    """A program at a virtual serial port."""

    def __init__(self, path: Path) -> None:
        self.descriptor = open_port(path)

    def write(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def read(self) -> bytes:
        select.select([self.descriptor], [], [])
        return os.read(self.descriptor, 4096)

    def close(self) -> None:
        os.close(self.descriptor)


class TcpProgram:
    """A program that speaks to its machine over TCP."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> bytes:
        return self.socket.recv(4096)

    def close(self) -> None:
        self.socket.close()


class Rfc2217Program:
    """A program that uses pyserial's client of RFC 2217."""

    def __init__(self, host: str, port: int) -> None:
        self.line = serial.serial_for_url(f"rfc2217://{host}:{port}", timeout=None)

    def write(self, data: bytes) -> None:
        self.line.write(data)

    def read(self) -> bytes:
        return bytes(self.line.read(1))

    def close(self) -> None:
        self.line.close()


class Job(threading.Thread):
    """A character-counting sender, as LightBurn is; on a virtual port where it is given a path."""

    def __init__(self, where: Path | Program, lines: list[str]) -> None:
        super().__init__(daemon=True)
        self.program = PtyProgram(where) if isinstance(where, Path) else where
        self.answered = 0
        self.failure = ""
        self._lines = [line.encode() + b"\n" for line in lines]
        self._rest = b""

    @property
    def descriptor(self) -> int:
        """Its end of the virtual port."""
        assert isinstance(self.program, PtyProgram)
        return self.program.descriptor

    def run(self) -> None:
        unanswered: deque[int] = deque()
        try:
            for line in self._lines:
                while sum(unanswered) + len(line) > 127:
                    self._take(unanswered)
                self.program.write(line)
                unanswered.append(len(line))
            while unanswered:
                self._take(unanswered)
        except OSError as error:
            self.failure = str(error)

    def resume(self) -> None:
        self.program.write(b"~")

    def finish(self) -> None:
        """Wait for its end, which takes its time on a busy machine; fails once it stands still."""
        answered, end = -1, 0.0
        while self.is_alive():
            if self.answered != answered:
                answered, end = self.answered, time.monotonic() + DEADLINE_S
            assert time.monotonic() < end, f"the job stands still after {answered} answers"
            self.join(0.1)

    def _take(self, unanswered: deque[int]) -> None:
        data = self.program.read()
        if not data:
            raise OSError("hung up")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith((b"ok", b"error")):
                if line.startswith(b"error"):
                    self.failure = line.decode()
                unanswered.popleft()
                self.answered += 1


class Rig:
    """What a test acts on."""

    def __init__(
        self,
        home: Path,
        machine: Machine,
        proxy: Network | None,
        bridge: Process,
        target: str,
        front_end: FrontEnd = "vcom",
    ) -> None:
        self.home, self.machine, self.bridge = home, machine, bridge
        self._proxy = proxy
        self.service_target = target
        self.vcom = home / "COM10"
        self._front_end = front_end
        self._opened: list[TcpProgram | Rfc2217Program] = []

    @property
    def proxy(self) -> Network:
        """The network that can fail, where it is a proxy."""
        assert self._proxy is not None
        return self._proxy

    def program(self) -> Program:
        """Open the port as a program does."""
        if self._front_end == "vcom":
            return PtyProgram(self.vcom)
        found = self.bridge.wait_for(rf"{self._front_end}://(127\.0\.0\.1):([1-9]\d*)")
        kind = TcpProgram if self._front_end == "tcp" else Rfc2217Program
        self._opened.append(kind(found[1], int(found[2])))
        return self._opened[-1]

    def close(self) -> None:
        """End the connections of programs."""
        for each in self._opened:
            each.close()

    def job(self, lines: list[str]) -> Job:
        job = Job(self.program(), lines)
        job.start()
        return job


@contextmanager
def rig(
    home: Path,
    profile: str = "grbl",
    front_end: FrontEnd = "vcom",
    more: Sequence[str] = (),
    **options: object,
) -> Iterator[Rig]:
    """Run all of it; `more` are options of the bridge, `options` keys of the port's table."""
    with simulated_machine(home) as machine:
        where = str(home / "COM10") if front_end == "vcom" else "127.0.0.1:0"
        config = home / "serial.toml"
        table = "".join(f"{key} = {value}\n" for key, value in options.items())
        config.write_text(
            f'[ports.laser]\nsource = "{machine.path}"\nprofile = "{profile}"\n{table}'
        )
        with (
            serial_service(home, "--config", str(config)) as (service, target),
            running_network(target) as network,
            running(
                ["bridge", "--target", network.target, f"--{front_end}", where, "--json", *more],
                home,
            ) as bridge,
        ):
            bridge.wait_for('"ready"')
            made = Rig(home, machine, network, bridge, target, front_end)
            try:
                yield made
            except BaseException as error:
                told = [line for line in bridge.lines if '"event": "status"' not in line]
                error.add_note("\n".join(["bridge:", *told, "service:", service.output]))
                raise
            finally:
                made.close()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        select.select([], [], [], 0.005)
