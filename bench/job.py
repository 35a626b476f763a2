"""The time of a G-code job through us and by a direct cable, against simulated GRBL at 115200 baud.

Each way has a simulator of its own; socat is there to show what a tunnel in C takes. A run ends
with the `ok` of a dwell, which comes once the machine stands still. Programs wait for `ok` either
as if there were no buffer (send and wait), or keep the 128 bytes of GRBL's receive buffer filled
(character counting).
"""

from __future__ import annotations

import os
import random
import select
import statistics
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import peers
from bench.ours import PortTable, start_bridge, start_service
from bench.report import result, table
from bench.stage import SCRIPTS, BenchError, Stage
from usbshare.bridge.demo.engraving import engraving_lines

OURS, SOCAT, DIRECT = "usbshare", "socat TLS", "direct"
RUNS = 3
BODY_LINES = 1700
FOOTER_LINES = 6
GRBL_BUFFER_BYTES = 128
ANSWER_TIMEOUT_S = 20.0
_OK = b"ok"


class Controller:
    """GRBL at the other end of an open line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._received = b""

    def send(self, data: bytes) -> None:
        """Write all of the bytes."""
        while data:
            data = data[os.write(self._descriptor, data) :]

    def wait_for_ok(self) -> None:
        """Return at the next `ok`; raises BenchError for an error or silence."""
        while True:
            line, end, rest = self._received.partition(b"\n")
            if not end:
                self._receive()
                continue
            self._received = rest
            if line.strip() == _OK:
                return
            if line.startswith((b"error", b"ALARM")):
                raise BenchError(f"the controller answered {line!r}")

    def _receive(self) -> None:
        if not select.select([self._descriptor], [], [], ANSWER_TIMEOUT_S)[0]:
            raise BenchError(f"no answer within {ANSWER_TIMEOUT_S} s after {self._received!r}")
        self._received += os.read(self._descriptor, 4096)


def send_and_wait(controller: Controller, lines: list[bytes]) -> None:
    """Send each line when the one before it is acknowledged."""
    for line in lines:
        controller.send(line)
        controller.wait_for_ok()


def character_counting(controller: Controller, lines: list[bytes]) -> None:
    """Send while the lines that are not acknowledged fit the controller's buffer."""
    sent: deque[int] = deque()
    for line in lines:
        while sum(sent) + len(line) > GRBL_BUFFER_BYTES - 1:
            controller.wait_for_ok()
            sent.popleft()
        controller.send(line)
        sent.append(len(line))
    for _ in sent:
        controller.wait_for_ok()


Sender = Callable[[Controller, list[bytes]], None]
SENDERS: dict[str, Sender] = {
    "character_counting": character_counting,
    "send_and_wait": send_and_wait,
}


def main() -> None:
    """Measure and print."""
    lines = job_lines()
    times: dict[tuple[str, str], list[float]] = {}
    with Stage() as stage:
        paths = _paths(stage)
        for run in range(RUNS):
            for name, sender in SENDERS.items():
                for way in random.sample(list(paths), len(paths)):
                    times.setdefault((name, way), []).append(run_job(paths[way], sender, lines))
            print(f"run {run + 1} of {RUNS} done", flush=True)
    _print(times, len(lines), sum(map(len, lines)))


def job_lines() -> list[bytes]:
    """Return a short engraving that ends with a dwell."""
    program = engraving_lines()
    chosen = [*program[:BODY_LINES], *program[-FOOTER_LINES:], "G4 P0.01"]
    return [line.encode() + b"\n" for line in chosen]


def _paths(stage: Stage) -> dict[str, str]:
    service = start_service(stage, {"laser": PortTable(start_simulator(stage, "far"), "grbl")})
    paths = {OURS: start_bridge(stage, service, "laser")[1], DIRECT: start_simulator(stage, "near")}
    if peers.have("socat"):
        tunnel = peers.socat_tls(stage, "tls", start_simulator(stage, "socat"), service.folder)
        paths[SOCAT] = tunnel.path
    return paths


def start_simulator(stage: Stage, name: str) -> str:
    """Start a GRBL; returns its device path."""
    link = stage.path(f"sim-{name}")
    command = [str(SCRIPTS / "serial-svc"), "simulate", "grbl", "--pty", link]
    stage.start(command).wait_for("ready")
    return link


def run_job(path: str, sender: Sender, lines: list[bytes]) -> float:
    """Send the lines; return how long it took until the machine was at rest."""
    with _line(path) as controller:
        controller.send(b"\n")
        controller.wait_for_ok()
        start = time.monotonic()
        sender(controller, lines)
        return time.monotonic() - start


@contextmanager
def _line(path: str) -> Iterator[Controller]:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(descriptor)
        settings = termios.tcgetattr(descriptor)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        time.sleep(0.3)  # the bridge carries the settings to the port
        termios.tcflush(descriptor, termios.TCIOFLUSH)
        yield Controller(descriptor)
    finally:
        os.close(descriptor)


def _print(times: dict[tuple[str, str], list[float]], lines: int, size: int) -> None:
    print(f"job of {lines} lines, {size} bytes, by GRBL at 115200 baud, seconds")
    rows = [
        (name, way, statistics.median(found), min(found), max(found))
        for (name, way), found in sorted(times.items())
    ]
    table(("sender", "way", "median", "least", "most"), rows)
    for name in SENDERS:
        median = {way: statistics.median(found) for (n, way), found in times.items() if n == name}
        result(f"{name}_ratio_to_direct", median[OURS] / median[DIRECT], "ratio")
        if SOCAT in median:
            result(f"socat_{name}_ratio_to_direct", median[SOCAT] / median[DIRECT], "ratio")
