"""Newcomers, and strangers who flood, talk to a process of its own, never to that of a stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.flooding import LONGEST_STOP_S, STOPS, flooding, hold_times_s
from fakes.processes import DEADLINE_S, Process, run, running
from usbshare.enrolment.invitation_maker import invite
from usbshare.trust.authorities import load_authorities
from usbshare.trust.certificates import fingerprint
from usbshare.trust.invitation import Invitation
from usbshare.trust.invitations import invitations_path, withdraw
from usbshare.trust.site import Site

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TEN_MINUTES = timedelta(minutes=10)


class Host:
    """A host that runs serial-svc, and others if a test starts them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.folder = home / "config/usbshare"
        self.folder.mkdir(parents=True)
        (self.folder / "usbshare.toml").write_text(
            '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n'
            f'[tls]\nenrolment = "127.0.0.1:{self.port}"\n'
        )

    @property
    def site(self) -> Site:
        authorities = load_authorities(self.folder / "site", datetime.now(UTC))
        return Site(self.folder, fingerprint(authorities.host.key.public_key()))

    def invite(self, name: str = "office-pc") -> Invitation:
        now = datetime.now(UTC)
        end = now + TEN_MINUTES
        return invite(self.site, name, "operators", ["127.0.0.1"], self.port, now, end)

    def withdraw(self, name: str = "office-pc") -> None:
        withdraw(invitations_path(self.folder), name, datetime.now(UTC))

    def answers(self) -> bool:
        """Return whether something listens where newcomers enrol."""
        with socket.socket() as knock:
            knock.settimeout(1.0)
            return knock.connect_ex(("127.0.0.1", self.port)) == 0

    def enrol_when_open(self, invitation: Invitation) -> tuple[int, str]:
        until(self.answers, "nobody listens for newcomers")
        return self.enrol(invitation)

    def enrol(self, invitation: Invitation, pc: str = "pc") -> tuple[int, str]:
        home = self.home / pc
        home.mkdir()
        return run(["bridge", "enroll", invitation.encode()], home)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def service(host: Host) -> Iterator[Process]:
    with running(["serial-svc", "--listen", "127.0.0.1:0"], host.home) as process:
        process.wait_for("ready at")
        yield process


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children: list[int] = []
    for each in threads:
        with suppress(FileNotFoundError):  # that thread has ended
            children += map(int, (each / "children").read_text().split())
    return children


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listener_of(host: Host, service: Process) -> int:
    """Return the number of the process that listens, once it does."""
    until(host.answers, "nobody listens for newcomers")
    (pid,) = children_of(service.process.pid)
    return pid


def test_the_listener_is_a_process_that_ends_with_the_last_invitation(
    host: Host, service: Process
) -> None:
    assert children_of(service.process.pid) == []
    first, _ = host.invite("first"), host.invite("second")
    pid = listener_of(host, service)
    code, output = host.enrol(first)
    assert code == 0, output
    service.wait_for("enrolled first .* from 127.0.0.1")
    assert is_alive(pid)
    host.withdraw("second")
    service.wait_for("enrolment is closed: no invitation is open")
    until(lambda: not is_alive(pid), "the listener stays")
    until(lambda: not children_of(service.process.pid), "it is not waited for")
    assert not host.answers()


def test_the_listener_ends_with_its_service(host: Host, service: Process) -> None:
    host.invite()
    pid = listener_of(host, service)
    assert service.stop() == 0
    assert not is_alive(pid)


def test_the_listener_ends_with_a_killed_service(host: Host, service: Process) -> None:
    host.invite()
    pid = listener_of(host, service)
    service.process.kill()
    until(lambda: not is_alive(pid), "the listener outlives its service")


def test_a_listener_that_is_stuck_does_not_outlive_its_service(
    host: Host, service: Process
) -> None:
    host.invite()
    pid = listener_of(host, service)
    os.kill(pid, signal.SIGSTOP)
    assert service.stop() == 0
    until(lambda: not is_alive(pid), "the listener outlives its service")


def test_ctrl_c_in_a_terminal_ends_both_in_order(host: Host, service: Process) -> None:
    host.invite()
    pid = listener_of(host, service)
    os.kill(pid, signal.SIGINT)  # a terminal sends it to all that run in it
    assert service.stop(signal.SIGINT) == 0
    assert not is_alive(pid)
    assert "Traceback" not in service.output


def test_a_listener_that_died_is_started_again(host: Host, service: Process) -> None:
    host.invite("first")
    pid = listener_of(host, service)
    os.kill(pid, signal.SIGKILL)
    service.wait_for("cannot open enrolment: its process ended with code -9")
    second = host.invite("second")  # who invites again does not wait for the next try
    code, output = host.enrol_when_open(second)
    assert code == 0, output


def test_of_two_services_one_listens_and_the_other_takes_over(host: Host, service: Process) -> None:
    other = ["discovery-svc", "--listen", "127.0.0.1:0"]
    with running(other, host.home) as second:
        second.wait_for("ready at")
        invitation = host.invite()
        until(host.answers, "nobody listens")
        pids = [process.process.pid for process in (service, second)]
        until(lambda: sum(len(children_of(pid)) for pid in pids) == 1, "not one listener")
        listening, waiting = (service, second) if children_of(pids[0]) else (second, service)
        listening.process.kill()
        until(lambda: children_of(waiting.process.pid), "nobody takes over")
        code, output = host.enrol_when_open(invitation)
        assert code == 0, output


@pytest.mark.parametrize("kind", ["window_update", "priority", "unknown"])
def test_a_flood_by_strangers_delays_no_stop_and_newcomers_come_in(
    host: Host, service: Process, kind: str
) -> None:
    target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]
    invitation = host.invite()
    listener_of(host, service)
    with running(["bridge", "--target", target, "--vcom", "COM10"], host.home) as bridge:
        bridge.wait_for("ready: open")
        with flooding(f"127.0.0.1:{host.port}", kind, 3, None):
            service.wait_for("closed a connection from 127.0.0.1")
            times = asyncio.run(hold_times_s(target, host.folder / "client.pem"))
            code, output = host.enrol(invitation)
        assert len(times) == STOPS
        assert max(times) < LONGEST_STOP_S
        assert "again" not in bridge.output
        assert code == 0, output
