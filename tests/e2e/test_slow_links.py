"""Links on which everything takes long, but arrives: nothing may give up what makes progress."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.exchange import OneWay
from fakes.exchange_rig import rig as exchange_rig
from fakes.machine import Machine, simulated_machine
from fakes.network import Network, running_network
from fakes.processes import Place, Process, events, run, running, serial_service
from fakes.slow_wire import HOST_ADDRESS, SlowWire, slow_wire

pytestmark = pytest.mark.apart

DEADLINE_S = 90.0
ROUND_TRIP_S = 1.2


@dataclass(frozen=True, slots=True)
class Rig:
    """A machine behind a service, and what leads there."""

    home: Path
    machine: Machine
    target: str
    place: Place = list

    @contextmanager
    def bridge(self) -> Iterator[Process]:
        vcom = str(self.home / "COM10")
        command = ["bridge", "--target", self.target, "--vcom", vcom, "--json"]
        with running(command, self.home, self.place) as bridge:
            yield bridge


@contextmanager
def far_machine(home: Path) -> Iterator[tuple[Rig, Network]]:
    """Run a machine and a service behind a proxy, which may be as far away as one likes."""
    with (
        simulated_machine(home) as machine,
        serial_service(home, "--config", str(config_of(home, machine))) as (_, target),
        running_network(target) as network,
    ):
        yield Rig(home, machine, network.target), network


def config_of(home: Path, machine: Machine) -> Path:
    config = home / "serial.toml"
    config.write_text(
        f'tls.names = ["{HOST_ADDRESS}"]\n'
        f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n'
    )
    return config


def delay(network: Network, round_trip_s: float, jitter_s: float = 0.0) -> None:
    for way in (network.up, network.down):
        way.delay_s, way.jitter_s = round_trip_s / 2, jitter_s / 2


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        select.select([], [], [], 0.01)


@pytest.mark.parametrize("round_trip_s", [0.35, 0.6, ROUND_TRIP_S])
def test_a_stop_is_confirmed_however_long_a_round_trip_takes(
    tmp_path: Path, round_trip_s: float
) -> None:
    with far_machine(tmp_path) as (rig, network):
        delay(network, round_trip_s)
        code, output = run(["bridge", "stop", "--target", rig.target], tmp_path)
        assert code == 0, output
        assert "emergency stop on" in output
        until(lambda: b"\x18" in rig.machine.received(), "the machine, too, has seen it")
        assert network.accepted <= 2, "one attempt is enough, and the name's look-up"


@pytest.mark.quiet
def test_a_session_survives_a_round_trip_of_1_2_s_with_jitter(tmp_path: Path) -> None:
    with far_machine(tmp_path) as (rig, network):
        delay(network, ROUND_TRIP_S, jitter_s=0.4)
        with rig.bridge() as bridge:
            bridge.wait_for('"event": "ready"', DEADLINE_S)
            until(lambda: len(events(bridge, "status")) >= 12, "it lives for a while")
            assert events(bridge, "lost") == []
            assert events(bridge, "urgent_line_lost") == []
            latency = events(bridge, "status")[-1]["latency"]
            assert latency["min_ms"] >= 1000 * ROUND_TRIP_S
            assert network.accepted == 2, "a session and a connection for stops, nothing twice"


def test_a_program_that_fills_a_slow_link_does_not_lose_its_session(tmp_path: Path) -> None:
    # A line of 1.2 MB/s on a network of 16 KB/s: the service's credit alone would be 4 s of queue.
    # What waits there counts, not how long it takes: a busy computer is slow by itself.
    with exchange_rig(tmp_path, more_config="link_timeout_s = 60") as made:
        delay(made.network, 0.1)
        until(lambda: latencies_ms(made.events("status")), "the usual round trip is known")
        up = made.network.up
        up.bytes_per_s, up.most_waiting_bytes = 16_000.0, 0
        there = OneWay(made.program, made.device, 150_000, seed=1)
        there.start()
        there.check()
        made.check_ends()
        assert made.events("lost") == []
        assert 0 < up.most_waiting_bytes < 2 * up.bytes_per_s


def latencies_ms(told: list[dict[str, Any]]) -> list[float]:
    """Return the slowest round trip of each status that knows one."""
    return [each["latency"]["max_ms"] for each in told if each["latency"]]


@contextmanager
def machine_on_a_wire(home: Path) -> Iterator[tuple[Rig, SlowWire]]:
    """Run a machine and a service on one computer; what a test runs is on the other."""
    with slow_wire() as wire, simulated_machine(home) as machine:
        config = str(config_of(home, machine))
        listen = ["--listen", "0.0.0.0:50051", "--config", config]
        with running(["serial-svc", *listen], home, wire.host.command) as service:
            service.wait_for("ready at")
            target = f"{wire.host.address}:50051"
            yield Rig(home, machine, target, wire.client.command), wire


def slow_down(wire: SlowWire, round_trip_s: float, jitter_s: float = 0.0) -> None:
    for way in (wire.up, wire.down):
        way.delay_s, way.jitter_s = round_trip_s / 2, jitter_s / 2


def stop_confirmed(rig: Rig) -> str:
    """Stop the machine, and return what the command says; fails where it is not confirmed."""
    command = ["bridge", "stop", "--hold", "--target", rig.target]
    code, output = run(command, rig.home, rig.place)
    assert code == 0, output
    return output


def test_the_kernels_own_tcp_is_not_cut_at_1_2_s(tmp_path: Path) -> None:
    # TCP_USER_TIMEOUT counts for the SYN and for every packet that is lost.
    with machine_on_a_wire(tmp_path) as (rig, wire):
        slow_down(wire, ROUND_TRIP_S, jitter_s=0.2)
        wire.up.loss = wire.down.loss = 0.02
        stop_confirmed(rig)
        # A packet that is lost costs more than `link_timeout` here: a session is taken up again.
        wire.up.loss = wire.down.loss = 0.0
        with rig.bridge() as bridge:
            bridge.wait_for('"event": "ready"', DEADLINE_S)
            until(lambda: len(events(bridge, "status")) >= 10, "it lives for a while")
            assert events(bridge, "lost") == []
        until(lambda: b"!" in rig.machine.received(), "the machine, too, has seen it")


def test_64_kbit_per_second_carry_a_session_and_a_stop_beside_it(tmp_path: Path) -> None:
    with machine_on_a_wire(tmp_path) as (rig, wire):
        slow_down(wire, 0.3)
        wire.up.bytes_per_s = wire.down.bytes_per_s = 8000.0
        with rig.bridge() as bridge:
            bridge.wait_for('"event": "ready"', DEADLINE_S)
            stop_confirmed(rig)
            assert events(bridge, "lost") == []
            assert events(bridge, "urgent_line_lost") == []


@pytest.mark.quiet
def test_a_stop_gets_through_a_full_uplink(tmp_path: Path) -> None:
    with machine_on_a_wire(tmp_path) as (rig, wire):
        slow_down(wire, 0.1)
        wire.up.bytes_per_s, wire.up.queue_bytes = 64_000.0, 128_000  # 2 s of queue, as in a modem
        with filled(wire):
            until(lambda: wire.up.waits_s > 1.0, "the queue is full")
            stop_confirmed(rig)
            until(lambda: b"!" in rig.machine.received(), "the machine, too, has seen it")
            assert wire.up.waits_s > 0.3, "it was full all the time"


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_stop_gets_through_where_every_connection_loses_what_it_sends_first(
    tmp_path: Path, way: str
) -> None:
    # Sent again after 4 and 11 s: within 6 s of the first time, a kernel that is told to ends it.
    with machine_on_a_wire(tmp_path) as (rig, wire):
        slow_down(wire, ROUND_TRIP_S)
        getattr(wire, way).swallows_s = 8.0
        stop_confirmed(rig)
        until(lambda: b"!" in rig.machine.received(), "the machine, too, has seen it")


@contextmanager
def filled(wire: SlowWire) -> Iterator[None]:
    """Fill the way to the host, as an upload does."""
    sink = subprocess.Popen(
        wire.host.command([sys.executable, "-c", _SINK]), stdout=subprocess.PIPE
    )
    try:
        assert sink.stdout is not None
        sink.stdout.readline()
        source = subprocess.Popen(
            wire.client.command([sys.executable, "-c", _SOURCE, wire.host.address])
        )
        try:
            yield
        finally:
            source.kill()
            source.wait()
    finally:
        sink.kill()
        sink.communicate()


_SINK = """
import select, socket
server = socket.create_server(("0.0.0.0", 9))
print("ready", flush=True)
taken = [server.accept()[0] for _ in range(8)]
while True:
    [each.recv(65536) for each in select.select(taken, [], [])[0]]
"""
_SOURCE = """
import select, socket, sys
opened = [socket.create_connection((sys.argv[1], 9)) for _ in range(8)]
for each in opened:
    each.setblocking(False)
while True:
    [each.send(bytes(65536)) for each in select.select([], opened, [])[1]]
"""


def test_a_host_that_takes_a_connection_and_says_nothing_is_noticed_in_bounded_time(
    tmp_path: Path,
) -> None:
    with serial_service(tmp_path):
        """Make the site, and a certificate for this user."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        code, output = run(["bridge", "--target", target, "--vcom", "C"], tmp_path)
        assert code == 1
        assert "accepts the connection but does not answer" in output
        assert time.monotonic() - start < 40.0
