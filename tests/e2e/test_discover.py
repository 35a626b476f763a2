"""Hosts that are found by name: real services that announce themselves, on loopback only."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fakes.processes import SCRIPTS, Process, environment, free_port, run, running

DEADLINE_S = 60.0


@dataclass
class Workshop:
    """Hosts that share a site and a beacon's port; tests beside this one do not meddle."""

    home: Path
    beacon_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))

    @contextmanager
    def host(self, name: str, *, mdns: bool = True, serial: bool = True) -> Iterator[Host]:
        """Run a host's services; yields once the serial service is announced."""
        config = self.home / f"{uuid.uuid4().hex}.toml"
        port = free_port()
        config.write_text(
            f'[discovery]\nlisten = "127.0.0.1:{port}"\nname = "{name}"\n'
            f"beacon_port = {self.beacon_port}\nmdns = {str(mdns).lower()}\n"
            "beacon_interval_s = 0.5\n"
            '[bridge]\nremember = false\n[ports.laser]\nsource = "sim://grbl"\n'
        )
        host = Host(self.home, config, name, f"127.0.0.1:{port}")
        with running(["discovery-svc", "--config", str(config)], self.home) as process:
            process.wait_for("discovery-svc ready at")
            host.discovery = process
            with host.serial() if serial else ExitStack():
                yield host


@dataclass
class Host:
    home: Path
    config: Path
    name: str
    discovery_target: str
    discovery: Process | None = None

    def patient(self, beacon_interval_s: float) -> Host:
        """Return it for a bridge whose configuration says that beacons are rare."""
        config = self.home / f"{uuid.uuid4().hex}.toml"
        text = self.config.read_text()
        rare = f"beacon_interval_s = {beacon_interval_s}\n"
        config.write_text(text.replace("beacon_interval_s = 0.5\n", rare))
        return replace(self, config=config)

    @contextmanager
    def serial(self) -> Iterator[str]:
        """Run its serial service on a free port; yields its target, once it is announced."""
        arguments = ["serial-svc", "--listen", "127.0.0.1:0", "--config", str(self.config)]
        with running(arguments, self.home) as service:
            match = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")
            service.wait_for("announced as")
            yield match[1]

    def bridge(self, *arguments: str) -> list[str]:
        """Return a bridge's command line with this host's configuration."""
        return ["bridge", "--config", str(self.config), *arguments]

    def run_bridge(self, *arguments: str, home: Path | None = None) -> tuple[int, str]:
        return run(self.bridge(*arguments), home or self.home)

    def found(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `bridge discover --json` prints of hosts with this name."""
        code, output = self.run_bridge("discover", "--json", "--name", self.name, *arguments)
        assert code == 0, output
        found: list[dict[str, Any]] = json.loads(output)
        return found


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def name() -> str:
    return f"Laser {uuid.uuid4().hex[:8]}"


def test_a_host_is_shown_with_its_services_and_who_holds_its_port(
    workshop: Workshop, name: str
) -> None:
    with workshop.host(name) as host:
        (found,) = host.found()
        assert found["name"] == name
        assert found["addresses"] == ["127.0.0.1"]
        assert set(found["services"]) == {"serial", "discovery"}
        assert found["own_site"] is True
        assert found["round_trip_ms"] > 0
        assert found["ports"][0]["id"] == "laser"
        assert found["ports"][0]["holder"] == ""
        bridge = host.bridge("--target", name.lower(), "--vcom", "COM10")
        with running(bridge, workshop.home) as holding:
            holding.wait_for("ready: open")
            _, output = host.run_bridge("discover", "--once", "--name", name)
            heading, row = output.splitlines()
            assert heading.split() == [
                *("NAME", "ADDRESS", "SERVICES", "TLS", "SITE", "RTT", "PORTS", "SOURCES")
            ]
            assert f"{name}  127.0.0.1" in row
            assert "laser held by usbshare://" in row


def test_every_command_takes_a_name(workshop: Workshop, name: str) -> None:
    with workshop.host(name) as host:
        code, output = host.run_bridge("list", "--target", name.upper())
        assert code == 0, output
        assert "laser" in output
        code, output = host.run_bridge("stop", "--target", name)
        assert code == 0, output
        assert f"`usbshare-bridge stop --rearm --target '{name}' --epoch " in output


def test_an_unknown_name_is_one_error_with_the_candidates(workshop: Workshop, name: str) -> None:
    with workshop.host(name) as host:
        code, output = host.run_bridge("list", "--target", f"{name} x")
        assert code == 1
        (output,) = output.splitlines()
        assert f"no host is called '{name} x'; found: " in output
        assert f"{name} at 127.0.0.1:" in output


def test_an_ambiguous_name_is_one_error_with_the_candidates(workshop: Workshop, name: str) -> None:
    # Multicast DNS would rename the second. Who asks waits for beacons longer than they take.
    with workshop.host(name, mdns=False) as host, workshop.host(name, mdns=False):
        patient = host.patient(beacon_interval_s=2.5)
        code, output = patient.run_bridge("list", "--target", name)
        assert code == 1
        (output,) = output.splitlines()
        assert f"2 hosts are called '{name}': {name} at 127.0.0.1:" in output
        assert "give its address" in output


def test_two_hosts_of_one_name_are_distinguished_by_multicast_dns(
    workshop: Workshop, name: str
) -> None:
    with workshop.host(name) as host, workshop.host(name):
        assert [each["name"] for each in host.found()] == [name, f"{name} (2)"]
        code, output = host.run_bridge("list", "--target", f"{name} (2)")
        assert code == 0, output


def test_a_bridge_follows_its_host_to_another_port(workshop: Workshop, name: str) -> None:
    with workshop.host(name, serial=False) as host, ExitStack() as exits:
        with host.serial() as before:
            arguments = host.bridge("--target", name, "--vcom", "COM10", "--json")
            bridge = exits.enter_context(running(arguments, workshop.home))
            bridge.wait_for('"event": "ready"')
        bridge.wait_for('"event": "lost"')
        with host.serial() as after:
            assert after != before
            bridge.wait_for(f'"event": "moved".*"target": "{after}"')
            bridge.wait_for(f'"state": "connected", "target": "{after}"')
            bridge.wait_for('"event": "urgent_line_ready"')


def test_a_watch_reports_hosts_that_appear_and_disappear(workshop: Workshop, name: str) -> None:
    with workshop.host(f"{name} first", serial=False) as first:
        arguments = first.bridge("discover", "--watch", "--json", "--name", name)
        with running(arguments, workshop.home) as watch:
            watch.wait_for(f'"event": "added", "name": "{name} first"')
            with workshop.host(f"{name} second") as second:
                watch.wait_for(f'"event": "added", "name": "{name} second"')
                assert second.discovery is not None
                assert second.discovery.stop() == 0
                watch.wait_for(f'"event": "removed", "name": "{name} second"')
            for line in watch.lines:
                json.loads(line)
            assert watch.stop(signal.SIGINT) == 0


def test_a_computer_without_a_certificate_sees_hosts_all_the_same(
    workshop: Workshop, name: str, tmp_path: Path
) -> None:
    with workshop.host(name) as host:
        code, output = host.run_bridge("discover", "--once", "--name", name, home=tmp_path / "pc")
        assert code == 0, output
        assert "there is no client certificate" in output
        assert f"{name}  127.0.0.1" in output
        assert "own" not in output.splitlines()[-1]


def test_another_computers_view_is_shown_by_its_discovery_service(
    workshop: Workshop, name: str
) -> None:
    with workshop.host(name) as host:
        (found,) = host.found("--via", host.discovery_target)
        assert found["sources"] == ["via"]
        assert found["own_site"] is True
        assert found["round_trip_ms"] > 0


def test_a_discovery_service_that_is_not_there_is_reported(workshop: Workshop, name: str) -> None:
    with workshop.host(name, serial=False) as host:
        nowhere = f"127.0.0.1:{free_port()}"
        for arguments in (["--once"], ["--stats"], ["--watch"]):
            code, output = host.run_bridge("discover", "--via", nowhere, *arguments)
            assert code == 1
            assert f"nothing listens at {nowhere}" in output
            assert "Traceback" not in output


def test_counters_are_shown_and_reset(workshop: Workshop, name: str) -> None:
    with workshop.host(name) as host:
        code, output = host.run_bridge("discover", "--stats", "--timeout", "1")
        assert code == 0, output
        heading, *rows = output.splitlines()
        assert heading.startswith("SOURCE  SENT")
        assert {row.split()[0] for row in rows} == {"mdns", "beacon"}
        via = ["discover", "--via", host.discovery_target, "--json"]
        _, before = host.run_bridge(*via, "--reset-stats")
        _, after = host.run_bridge(*via, "--stats")
        sent = [json.loads(each)["mdns"]["sent_bytes"] for each in (before, after)]
        assert sent[0] > sent[1]


@pytest.mark.parametrize(
    "arguments",
    [["--reset-stats"], ["--watch", "--once"], ["--via", "a b"], ["--kind", "coffee"]],
)
def test_bad_usage_is_reported(tmp_path: Path, arguments: list[str]) -> None:
    code, output = run(["bridge", "discover", *arguments], tmp_path)
    assert code == 2
    assert arguments[0] in output
    assert "Traceback" not in output


def test_on_a_terminal_the_table_follows_what_happens(workshop: Workshop, name: str) -> None:
    with workshop.host(name, serial=False) as host, Terminal(host, name) as terminal:
        terminal.wait_for(f"{name}  127.0.0.1")
        with host.serial():
            terminal.wait_for("laser free")
            bridge = host.bridge("--target", name, "--vcom", "COM10")
            with running(bridge, workshop.home) as holding:
                holding.wait_for("ready: open")
                terminal.wait_for("laser held by usbshare://")
            terminal.wait_for("laser free")
        assert terminal.interrupt() == 0
        assert "\x1b[?" not in terminal.shown, "the terminal is left as it was"


def surroundings() -> dict[str, str]:
    """Return the environment without a width: the terminal has one."""
    return {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}


class Terminal:
    """A living table on a terminal of 200 columns."""

    def __init__(self, host: Host, name: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        arguments = host.bridge("discover", "--name", name)
        self._process = subprocess.Popen(
            [str(SCRIPTS / arguments[0]), *arguments[1:]],
            env={**surroundings(), **environment(host.home)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def wait_for(self, text: str) -> None:
        """Wait until the text is shown, later than whatever was waited for before."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} is not shown: {self.shown!r}"
            if select.select([self._master], [], [], 1.0)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(DEADLINE_S)
