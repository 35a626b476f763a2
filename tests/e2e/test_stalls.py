"""A service that stands still for a while under many bridges: what it missed must not drown it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.processes import (
    Process,
    camera_service,
    environment,
    events,
    run,
    running,
    serial_service,
)

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp"),
]

BRIDGES = 10
VIEWERS = 5
STALL_S = 5.0
BACK_WITHIN_S = 5.0
DEADLINE_S = 120.0
# Of each bridge: the two that it had, and one for each attempt. Attempts take 10 s, 20 s, 40 s.
MOST_CONNECTIONS = 6 * BRIDGES
_ESTABLISHED, _CLOSE_WAIT = "01", "08"

# Blocks the thread of the event loop for as long as a signal asks: asleep, as in a system call that
# hangs, or computing, which holds the interpreter's lock too.
_STALLING = f"""
import signal, time
def sleep(*_):
    time.sleep({STALL_S})
def compute(*_):
    end = time.monotonic() + {STALL_S}
    while time.monotonic() < end:
        pass
signal.signal(signal.SIGUSR1, sleep)
signal.signal(signal.SIGUSR2, compute)
"""


@dataclass(frozen=True, slots=True)
class Rig:
    """A service with a port for each of its bridges."""

    home: Path
    service: Process
    target: str
    bridges: list[Process]

    def connections(self, state: str) -> int:
        """Return how many connections in this state the service's port has, as the kernel says."""
        port = f":{int(self.target.rpartition(':')[2]):04X}"
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        return sum(row[1].endswith(port) and row[3] == state for row in rows)

    def are_back(self, times: int) -> bool:
        """Return whether every bridge has lost its session so often, and taken it up again."""
        return all(
            len(events(each, "lost")) >= times
            and len(events(each, "resumed")) == len(events(each, "lost"))
            for each in self.bridges
        )

    def check_stops(self) -> None:
        """Fail unless every bridge has its connection for stops again."""

        def have_both() -> bool:
            return self.connections(_ESTABLISHED) == 2 * BRIDGES

        until(have_both, "each has a session and a connection for stops, nothing more", 30.0)
        for each in self.bridges:
            lost, ready = events(each, "urgent_line_lost"), events(each, "urgent_line_ready")
            assert len(lost) == len(ready)


@contextmanager
def rig(home: Path) -> Iterator[Rig]:
    config = home / "serial.toml"
    ports = [f'[ports.p{number}]\nsource = "sim://grbl"\n' for number in range(BRIDGES)]
    config.write_text("".join(ports))
    (home / "sitecustomize.py").write_text(_STALLING)
    with ExitStack() as exits:
        listen = ["serial-svc", "--listen", "127.0.0.1:0", "--config", str(config)]
        service = Process(listen, {**environment(home), "PYTHONPATH": str(home)})
        exits.callback(service.stop)
        match = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")
        made = Rig(home, service, match[1], [])
        for number in range(BRIDGES):
            vcom = ["--vcom", str(home / f"COM{number}"), "--port", f"p{number}", "--json"]
            command = ["bridge", "--target", made.target, *vcom]
            made.bridges.append(exits.enter_context(running(command, home)))
        for bridge in made.bridges:
            bridge.wait_for('"event": "ready"', DEADLINE_S)
        made.check_stops()
        try:
            yield made
        except BaseException as error:
            error.add_note(f"a bridge:\n{made.bridges[0].output}\nservice:\n{service.output}")
            raise


def until(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        select.select([], [], [], 0.02)


def stand_still(made: Rig, wait_s: float) -> None:
    os.kill(made.service.process.pid, signal.SIGSTOP)
    try:
        until(lambda: all(events(each, "lost") for each in made.bridges), "the bridges notice")
        select.select([], [], [], wait_s)
        piled_up = made.connections(_ESTABLISHED) + made.connections(_CLOSE_WAIT)
    finally:
        os.kill(made.service.process.pid, signal.SIGCONT)
    assert piled_up <= MOST_CONNECTIONS, "nobody hammers at a service that does not answer"


def test_a_service_that_was_stopped_has_all_bridges_back_in_seconds(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        stand_still(made, STALL_S)
        until(lambda: made.are_back(1), "all are back", BACK_WITHIN_S)
        made.check_stops()


def test_a_long_standstill_piles_up_no_more_than_a_short_one(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        stand_still(made, 20.0)
        until(lambda: made.are_back(1), "all are back", BACK_WITHIN_S)
        made.check_stops()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=["asleep", "computing"])
def test_a_service_whose_loop_hangs_has_all_bridges_back_in_seconds(
    tmp_path: Path, number: signal.Signals
) -> None:
    with rig(tmp_path) as made:
        start = time.monotonic()
        os.kill(made.service.process.pid, number)
        until(lambda: all(events(each, "lost") for each in made.bridges), "the bridges notice")
        within_s = start + STALL_S + BACK_WITHIN_S - time.monotonic()
        until(lambda: made.are_back(1), "all are back", within_s)
        made.check_stops()


def test_a_stop_that_is_asked_for_during_a_standstill_is_carried_out_after_it(
    tmp_path: Path,
) -> None:
    with rig(tmp_path) as made:
        os.kill(made.service.process.pid, signal.SIGSTOP)
        stop = ["bridge", "stop", "--target", made.target, "--port", "p0"]
        with running(stop, made.home) as stopping:
            until(lambda: all(events(each, "lost") for each in made.bridges), "they notice")
            os.kill(made.service.process.pid, signal.SIGCONT)
            assert stopping.wait() == 0, stopping.output
        code, output = run(["bridge", "stop", "--target", made.target, "--port", "p1"], made.home)
        assert code == 0, output


def test_a_camera_service_that_stalled_has_all_its_viewers_back_in_seconds(
    tmp_path: Path,
) -> None:
    with ExitStack() as exits:
        service, target = exits.enter_context(camera_service(tmp_path))
        made = Rig(tmp_path, service, target, [])
        viewers: list[tuple[Process, str]] = []
        for _ in range(VIEWERS):
            command = ["bridge", "camera", "--target", target, "--http", "127.0.0.1:0", "--json"]
            viewer = exits.enter_context(running(command, tmp_path))
            url = viewer.wait_for(r'"url": "([^"]+)"', DEADLINE_S)[1]
            viewers.append((viewer, url))
        for _, url in viewers:
            until(is_live(url), "it shows pictures")
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            until(lambda: all(events(each, "waiting") for each, _ in viewers), "all notice")
            select.select([], [], [], STALL_S)
            piled_up = made.connections(_ESTABLISHED) + made.connections(_CLOSE_WAIT)
        finally:
            os.kill(service.process.pid, signal.SIGCONT)
        assert piled_up <= 3 * VIEWERS
        end = time.monotonic() + BACK_WITHIN_S
        for _, url in viewers:
            until(
                is_live(url),
                "all are back",
                end - time.monotonic(),
            )


def is_live(url: str) -> Callable[[], bool]:
    return lambda: bool(view_of(url)["state"] == "live")


def view_of(url: str) -> dict[str, Any]:
    """Return what a viewer says of itself."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/state", timeout=DEADLINE_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_clients_that_left_their_handshakes_delay_a_stop_by_seconds_only(tmp_path: Path) -> None:
    # As older clients of ours do, and whoever scans ports: a hello, then nothing, or the end.
    with serial_service(tmp_path) as (service, target):
        host, _, port = target.rpartition(":")
        os.kill(service.process.pid, signal.SIGSTOP)
        waiting = [socket.create_connection((host, int(port))) for _ in range(1500)]
        greeting = hello()
        for number, each in enumerate(waiting):
            each.sendall(greeting)
            if number % 2:
                each.close()
        os.kill(service.process.pid, signal.SIGCONT)
        start = time.monotonic()
        code, output = run(["bridge", "stop", "--target", target], tmp_path)
        took_s = time.monotonic() - start
        for each in waiting:
            each.close()
        assert code == 0 or "SENT NOTHING" in output, output
        assert took_s < 15.0


def hello() -> bytes:
    """Return the first bytes of a client's TLS handshake."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()
