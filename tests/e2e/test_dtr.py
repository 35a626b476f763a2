"""A controller that resets on DTR: clients that come and go must never reset it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial

from fakes.processes import SEND, Process, environment, run, running, serial_service
from fakes.rfc2217_controller import Controller, rfc2217_controller

DEADLINE_S = 60.0
TIMES = 20


@dataclass(frozen=True, slots=True)
class Shared:
    """A controller that a service shares."""

    service: Process
    controller: Controller
    home: Path
    target: str


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with rfc2217_controller() as (controller, url):
        yield from share(tmp_path, controller, url, "")


def share(home: Path, controller: Controller, url: str, lines: str) -> Iterator[Shared]:
    config = home / "usbshare.toml"
    config.write_text(f'[ports.laser]\nsource = "{url}"\nprofile = "grbl"\n{lines}')
    with serial_service(home, "--config", str(config)) as (service, target):
        code, output = run(["bridge", *SEND, "--target", target, "$I"], home)
        assert (code, "[VER:1.1h" in output) == (0, True), output
        try:
            yield Shared(service, controller, home, target)
        finally:
            print(service.output)


def bridge(shared: Shared) -> list[str]:
    return ["bridge", "--target", shared.target, "--vcom", "COM10"]


def ask(port: serial.Serial) -> None:
    """Ask for the version and wait for the end of the answer."""
    port.write(b"$I\n")
    line = b""
    while line.strip() != b"ok":
        line = port.readline()
        assert line.endswith(b"\n"), f"no end of the answer: {line!r}"


def wait_until_closed(process: Process, times: int) -> None:
    """Return once the bridge has seen programs leave so many times."""
    end = time.monotonic() + DEADLINE_S
    while sum("was closed" in line for line in process.lines) < times:
        assert time.monotonic() < end, process.output
        time.sleep(0.01)


def vcom(shared: Shared) -> str:
    return str(shared.home / "run/usbshare/COM10")


def test_the_service_opens_the_device_once_and_raises_its_lines_once(shared: Shared) -> None:
    assert shared.controller.changes == [("dtr", True), ("rts", True)]
    assert shared.controller.clients == 1


def test_bridges_that_come_and_go_never_reset_it(shared: Shared) -> None:
    before = list(shared.controller.changes)
    for number in range(TIMES):
        process = Process(bridge(shared), environment(shared.home))
        process.wait_for("ready: open")
        if number and number % 3 == 0:  # killed within a second of an answer: a lost job
            code, output = run(
                ["bridge", "stop", "--rearm", "--target", shared.target], shared.home
            )
            assert code == 0, output  # "is not latched" where it took longer
        with serial.Serial(vcom(shared), 115200, timeout=DEADLINE_S) as port:
            ask(port)
        how = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[number % 3]
        assert process.stop(how) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    assert shared.controller.changes == before
    assert shared.controller.clients == 1


def test_single_commands_never_reset_it(shared: Shared) -> None:
    before = list(shared.controller.changes)
    for _ in range(TIMES):
        code, output = run(["bridge", "send", "--target", shared.target, "G0 X1"], shared.home)
        assert code == 0, output
    assert shared.controller.changes == before
    assert shared.controller.clients == 1


def test_programs_that_open_and_close_the_virtual_port_never_reset_it(shared: Shared) -> None:
    before = list(shared.controller.changes)
    with running(bridge(shared), shared.home) as process:
        process.wait_for("ready: open")
        for number in range(TIMES):
            with serial.Serial(vcom(shared), 115200, timeout=DEADLINE_S) as port:
                ask(port)
            wait_until_closed(process, number + 1)
    assert shared.controller.changes == before
    assert shared.controller.clients == 1


def test_a_program_that_changes_the_rate_does_not_reset_it(shared: Shared) -> None:
    before = list(shared.controller.changes)
    with running(bridge(shared), shared.home) as process:
        process.wait_for("ready: open")
        for number, baud in enumerate((9600, 115200) * 3):
            with serial.Serial(vcom(shared), baud, timeout=DEADLINE_S) as port:
                ask(port)
            wait_until_closed(process, number + 1)
    assert shared.controller.changes == before


def test_lines_configured_low_stay_low(tmp_path: Path) -> None:
    with rfc2217_controller() as (controller, url):
        for shared in share(tmp_path, controller, url, "dtr = false\nrts = false\n"):
            with running(bridge(shared), shared.home) as process:
                process.wait_for("ready: open")
                with serial.Serial(vcom(shared), 115200, timeout=DEADLINE_S) as port:
                    ask(port)
    assert controller.resets == 0
    assert controller.changes == []
