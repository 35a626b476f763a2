"""`usbshare-bridge send` waits for the reply to its line, however long the machine takes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.processes import run, running, serial_service, without_waiting

WAITS = r"waiting for the machine's reply to '(.*)': Ctrl-C ends the waiting"
SHORT, LONG = "G4 P3", "G4 P600"


@dataclass
class Host:
    """A host with a simulated GRBL."""

    home: Path
    target: tuple[str, str]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    path = tmp_path / "sim.toml"
    path.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(tmp_path, "--config", str(path)) as (_, target):
        yield Host(tmp_path, ("--target", target))


def send(host: Host, *words: str) -> tuple[int, str]:
    return run(["bridge", "send", *host.target, *words], host.home)


def test_a_line_that_takes_long_is_waited_for_to_its_reply(host: Host) -> None:
    with running(["bridge", "send", *host.target, SHORT], host.home) as sending:
        assert sending.wait_for(WAITS)[1] == SHORT
        assert sending.wait() == 0, sending.output
    answer, figures = without_waiting(sending.output).splitlines()[-2:]
    assert "ok" in (answer, figures)


def test_a_silence_ends_the_answer_for_whoever_wants_that(host: Host) -> None:
    code, output = send(host, "--quiet", "0.1", LONG)
    assert code == 0, output
    assert "ok" not in output.split()


def test_a_time_limit_is_kept_whatever_the_line(host: Host) -> None:
    assert send(host, "--timeout", "2", LONG) == (1, "bridge: no answer within 2 s")


def test_ctrl_c_ends_the_waiting_and_leaves_the_machine_as_it_is(host: Host) -> None:
    with running(["bridge", "send", *host.target, LONG], host.home) as sending:
        sending.wait_for(WAITS)
        assert sending.stop(signal.SIGINT) == 1
    assert "Traceback" not in sending.output
    code, output = run(["bridge", "status", *host.target], host.home)
    assert code == 0, output
    assert "held " not in output
    assert "in control" not in output


def test_a_stop_ends_the_waiting(host: Host) -> None:
    with running(["bridge", "send", *host.target, LONG], host.home) as sending:
        sending.wait_for(WAITS)
        code, output = run(["bridge", "stop", *host.target], host.home)
        assert code == 0, output
        assert sending.wait() == 1
    assert "no answer will come: the machine was stopped or reset" in sending.output
