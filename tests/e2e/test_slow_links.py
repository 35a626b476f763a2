"""Links on which everything takes long, but arrives: nothing may give up what makes progress."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.machine import Machine, simulated_machine
from fakes.network import Network, running_network
from fakes.processes import Process, run, running, serial_service

DEADLINE_S = 90.0
ROUND_TRIP_S = 1.2


@dataclass(frozen=True, slots=True)
class Rig:
    """A machine behind a service, and what leads there."""

    home: Path
    machine: Machine
    target: str
    on_client: Callable[[list[str]], list[str]]

    @contextmanager
    def bridge(self) -> Iterator[Process]:
        vcom = str(self.home / "COM10")
        command = ["bridge", "--target", self.target, "--vcom", vcom, "--json"]
        with running(self.on_client(command), self.home) as bridge:
            yield bridge


@contextmanager
def far_machine(home: Path) -> Iterator[tuple[Rig, Network]]:
    """Run a machine and a service behind a proxy, which may be as far away as one likes."""
    with (
        simulated_machine(home) as machine,
        serial_service(home, "--config", str(config_of(home, machine))) as (_, target),
        running_network(target) as network,
    ):
        yield Rig(home, machine, network.target, lambda command: command), network


def config_of(home: Path, machine: Machine) -> Path:
    config = home / "serial.toml"
    config.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
    return config


def delay(network: Network, round_trip_s: float, jitter_s: float = 0.0) -> None:
    for way in (network.up, network.down):
        way.delay_s, way.jitter_s = round_trip_s / 2, jitter_s / 2


def events(bridge: Process, name: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in list(bridge.lines) if line.startswith("{")]
    return [each for each in told if each["event"] == name]


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
        assert b"\x18" in rig.machine.received()
        assert network.accepted <= 2, "one attempt is enough, and the name's look-up"


def test_a_session_lives_at_a_round_trip_of_1_2_s_with_jitter(tmp_path: Path) -> None:
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
