"""`bridge job capture` and a program that fills its port by character counting."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.gcode_program import DEADLINE_S, Program, opened
from fakes.json_schema import mistakes
from fakes.processes import Process, run, running
from usbshare.bridge.demo.engraving import engraving_lines

JOB = [f"{line}\n".encode() for line in engraving_lines()[:300]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@contextmanager
def capturing(home: Path, out: Path, *words: str) -> Iterator[tuple[Process, str]]:
    """Run a capture; yields it and where its port is."""
    command = ["usbshare-bridge", "job", "capture", str(out), *words]
    with running(command, home) as bridge:
        yield bridge, bridge.wait_for(r"capturing: open (\S+)")[1]


def captured(home: Path, out: Path, lines: list[bytes]) -> None:
    with capturing(home, out, "--vcom", "COM7") as (bridge, path):
        descriptor = opened(path)
        program = Program(descriptor)
        program.wait_for_banner()
        program.send(lines)
        os.close(descriptor)
        assert bridge.wait() == 0
    assert program.oks == len(lines)
    assert out.read_bytes() == b"".join(lines)


def test_a_program_that_closes_its_port_has_sent_a_job(home: Path, tmp_path: Path) -> None:
    captured(home, tmp_path / "out.nc", JOB)


def test_a_job_that_is_captured_again_and_again_is_always_the_same(
    home: Path, tmp_path: Path
) -> None:
    for _ in range(4):
        captured(home, tmp_path / "out.nc", [*JOB, b"M2\n"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_captures_have_as_many_ok_as_lines(home: Path, tmp_path: Path) -> None:
    for _ in range(100):
        captured(home, tmp_path / "out.nc", [*JOB, b"M2\n"])


def test_a_program_may_connect_over_tcp_and_stay_after_its_end(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    with capturing(home, out, "--tcp", "127.0.0.1:0", "--json") as (bridge, path):
        host, _, port = path.removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connected:
            program = Program(connected.fileno())
            program.wait_for_banner()
            program.send([b"G0 X1\n", b"M30\n"])
            assert bridge.wait() == 0
    ended = json.loads(next(line for line in bridge.lines if line.startswith("{")))
    assert mistakes(ended, "job_capture") == []
    assert ended["ended_by"] == "M2 or M30"
    assert out.read_bytes() == b"G0 X1\nM30\n"


def test_an_interrupted_capture_keeps_what_came(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    with capturing(home, out, "--vcom", "COM7") as (bridge, path):
        program = Program(opened(path))
        program.wait_for_banner()
        program.send(JOB[:20])
        assert bridge.stop(signal.SIGINT) == 0
    assert "out.nc: 20 lines (interrupted)" in bridge.output
    assert out.read_bytes() == b"".join(JOB[:20])


def test_where_nothing_came_nothing_is_written(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    with capturing(home, out, "--vcom", "COM7") as (bridge, _):
        assert bridge.stop(signal.SIGINT) == 1
    assert "nothing was sent to the port" in bridge.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_gets_a_line(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "none" / "out.nc"
    code, output = run(["usbshare-bridge", "job", "capture", str(out), "--vcom", "COM7"], home)
    assert code == 1
    assert "no such file or directory" in output
    assert "Traceback" not in output
