"""Two computers with a wire between them: found, lost and found again, by real multicast."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from fakes.namespaces import Namespace, Wire, joined_namespaces
from fakes.processes import SCRIPTS, Process, running

pytestmark = pytest.mark.apart

TELL = Path(__file__).parents[1] / "fakes" / "tell_changes.py"
BOTH = "KIND_SERIAL,KIND_DISCOVERY"
DEADLINE_S = 60.0


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as made:
        yield made


def on(end: Namespace, home: Path, *command: str) -> AbstractContextManager[Process]:
    """Run a command of one site on one of the two computers, on all of its interfaces."""
    everywhere = ["/usr/bin/env", "USBSHARE_DISCOVERY_INTERFACES="]
    return running(end.command([*everywhere, str(SCRIPTS / command[0]), *command[1:]]), home)


@contextmanager
def computer(end: Namespace, home: Path, name: str) -> Iterator[list[Process]]:
    """Run both services there."""
    config = home / f"{name}.toml"
    config.write_text(f'[discovery]\nname = "{name}"\n[ports.laser]\nsource = "sim://grbl"\n')
    with on(end, home, "discovery-svc", "--config", str(config)) as discovery:
        discovery.wait_for("discovery-svc ready at")
        with on(end, home, "serial-svc", "--config", str(config)) as serial:
            serial.wait_for("announced as")
            yield [discovery, serial]


@pytest.fixture
def watcher(wire: Wire, tmp_path: Path) -> Iterator[Process]:
    """Print what the client's discovery service sees."""
    bundle = str(tmp_path / "config" / "usbshare" / "client.pem")
    with (
        computer(wire.client, tmp_path, "pc"),
        on(wire.client, tmp_path, "python", str(TELL), "127.0.0.1:50053", bundle) as program,
    ):
        program.wait_for("snapshot pc")
        yield program


def wait_for_next(process: Process, pattern: str, since: int) -> float:
    """Return after how long a line beyond that many matches."""
    began = time.monotonic()
    while not any(re.search(pattern, line) for line in process.lines[since:]):
        assert time.monotonic() < began + DEADLINE_S, f"no {pattern!r} in:\n{process.output}"
        time.sleep(0.005)
    return time.monotonic() - began


def report(*words: object) -> None:
    print(*words)  # the figures of this run, shown with `-s`


def test_a_host_is_found_across_a_wire_and_gone_when_it_stops(
    tmp_path: Path, wire: Wire, watcher: Process
) -> None:
    for _ in range(2):
        since = len(watcher.lines)
        with computer(wire.host, tmp_path, "laser") as services:
            took = wait_for_next(watcher, f"(added|updated) laser {BOTH}", since)
            report(f"found {took:.3f} s after its services were ready")
            for service in reversed(services):
                service.process.terminate()
            report(f"gone {wait_for_next(watcher, 'removed laser', since):.3f} s after SIGTERM")


def pull_the_wire(wire: Wire) -> None:
    wire.link_down(wire.host)


def plug_the_wire(wire: Wire) -> None:
    wire.link_up(wire.host)


def drop_all_packets(wire: Wire) -> None:
    wire.drop_packets(wire.host)


def drop_no_packets(wire: Wire) -> None:
    wire.heal()


@pytest.mark.parametrize(
    ("begin", "end"),
    [(pull_the_wire, plug_the_wire), (drop_all_packets, drop_no_packets)],
    ids=["link down", "packets dropped"],
)
def test_a_host_that_goes_silent_is_removed_and_comes_back(
    tmp_path: Path,
    wire: Wire,
    watcher: Process,
    begin: Callable[[Wire], None],
    end: Callable[[Wire], None],
) -> None:
    with computer(wire.host, tmp_path, "laser"):
        wait_for_next(watcher, f"(added|updated) laser {BOTH}", 0)
        since = len(watcher.lines)
        begin(wire)
        report(f"gone {wait_for_next(watcher, 'removed laser', since):.2f} s after the cut")
        since = len(watcher.lines)
        end(wire)
        took = wait_for_next(watcher, f"(added|updated) laser {BOTH}", since)
        report(f"back {took:.2f} s after the end of it")
