"""A state folder that hangs or cannot be read holds up no start, and every port fails closed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.frozen_process import frozen_later
from fakes.processes import run, running
from fakes.serial_device import Acknowledging, SerialDevice

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(sys.platform != "linux", reason="needs ptys and FIFOs"),
]

IN_TIME_S = 5.0
# What a start takes by itself on a machine that is busy.
START_S = 20.0


@pytest.fixture
def laser(tmp_path: Path) -> Iterator[SerialDevice]:
    with SerialDevice(tmp_path / "laser", Acknowledging()) as made:
        yield made


def arguments(home: Path, laser: SerialDevice, name: str = "serial-svc") -> list[str]:
    config = home / "serial.toml"
    config.write_text(f'[ports.laser]\nsource = "{laser.link}"\nprofile = "grbl"\n')
    chosen = ["--config", str(config)] if name == "serial-svc" else []
    return [name, "--insecure", "--listen", "127.0.0.1:0", *chosen]


def state(home: Path) -> Path:
    return home / ".local" / "state" / "usbshare"


def listed(home: Path, port: str) -> str:
    command = ["bridge", "list", "--insecure", "--target", f"127.0.0.1:{port}"]
    code, output = run(command, home)
    assert code == 0, output
    return output


@pytest.mark.parametrize("name", ["serial-svc", "camera-svc", "discovery-svc"])
def test_a_state_folder_that_hangs_holds_up_no_start(
    tmp_path: Path, laser: SerialDevice, name: str
) -> None:
    begun = time.monotonic()
    with frozen_later(
        arguments(tmp_path, laser, name), tmp_path, frozen_folder=state(tmp_path)
    ) as process:
        port = process.wait_for(r"ready at (?:127\.0\.0\.1|\[::1\]):(\d+)")[1]
        assert time.monotonic() - begun < IN_TIME_S + START_S
        assert not process.faults
        if name != "discovery-svc":
            assert "does not answer within 5 s" in process.said
        if name == "serial-svc":
            assert "latched" in listed(tmp_path, port)
            assert moved(tmp_path, port)
            assert b"G1 X100" not in laser.received
        process.end()


@pytest.mark.parametrize("kind", ["latches/latch", "active/port", "devices/port"])
def test_a_fifo_in_place_of_a_note_holds_up_nothing(
    tmp_path: Path, laser: SerialDevice, kind: str
) -> None:
    folder, _, prefix = kind.partition("/")
    own = {"latches": "latches", "active": "active-0", "devices": "devices-0"}[folder]
    number = "0-" if folder == "latches" else ""
    path = state(tmp_path) / "serial-svc" / own / f"{prefix}-{number}laser"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    begun = time.monotonic()
    with running(arguments(tmp_path, laser), tmp_path) as process:
        port = process.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1]
        assert time.monotonic() - begun < START_S
        assert "it is not a regular file" in process.output
        if folder == "latches":
            assert "latched" in listed(tmp_path, port)
        if folder != "devices":
            assert moved(tmp_path, port)
            assert b"G1 X100" not in laser.received


def moved(home: Path, port: str) -> str:
    """Try to move; returns what was said, which is nothing that was done."""
    target = ("--insecure", "--target", f"127.0.0.1:{port}", "--port", "laser")
    code, output = run(["bridge", "send", *target, "G1 X100"], home)
    assert code != 0, output
    return output.replace("G1 X100", "")
