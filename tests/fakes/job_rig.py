"""A job that runs through bridge and service on a simulated laser, with a network that can fail."""

from __future__ import annotations

import os
import select
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


class Job(threading.Thread):
    """A character-counting sender on the virtual port, as LightBurn is."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        super().__init__(daemon=True)
        self.descriptor = open_port(path)
        self.answered = 0
        self.failure = ""
        self._lines = [line.encode() + b"\n" for line in lines]
        self._rest = b""

    def run(self) -> None:
        unanswered: deque[int] = deque()
        try:
            for line in self._lines:
                while sum(unanswered) + len(line) > 127:
                    self._take(unanswered)
                os.write(self.descriptor, line)
                unanswered.append(len(line))
            while unanswered:
                self._take(unanswered)
        except OSError as error:
            self.failure = str(error)

    def resume(self) -> None:
        os.write(self.descriptor, b"~")

    def _take(self, unanswered: deque[int]) -> None:
        select.select([self.descriptor], [], [])
        data = os.read(self.descriptor, 4096)
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
        self, home: Path, machine: Machine, proxy: Network | None, bridge: Process, target: str
    ) -> None:
        self.home, self.machine, self.bridge = home, machine, bridge
        self._proxy = proxy
        self.service_target = target
        self.vcom = home / "COM10"

    @property
    def proxy(self) -> Network:
        """The network that can fail, where it is a proxy."""
        assert self._proxy is not None
        return self._proxy

    def job(self, lines: list[str]) -> Job:
        job = Job(self.vcom, lines)
        job.start()
        return job


@contextmanager
def rig(home: Path, profile: str = "grbl", **options: object) -> Iterator[Rig]:
    with simulated_machine(home) as machine:
        config = home / "serial.toml"
        table = "".join(f"{key} = {value}\n" for key, value in options.items())
        config.write_text(
            f'[ports.laser]\nsource = "{machine.path}"\nprofile = "{profile}"\n{table}'
        )
        with (
            serial_service(home, "--config", str(config)) as (_, target),
            running_network(target) as network,
            running(
                ["bridge", "--target", network.target, "--vcom", str(home / "COM10"), "--json"],
                home,
            ) as bridge,
        ):
            bridge.wait_for('"ready"')
            yield Rig(home, machine, network, bridge, target)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        select.select([], [], [], 0.005)
