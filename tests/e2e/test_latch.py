"""A stop outlives the service that carried it out, and can be undone only by who saw it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.console import piped
from fakes.job_rig import FrontEnd, hears, open_port, rig, until
from fakes.machine import Machine, simulated_machine
from fakes.processes import Process, run, running, serial_service

NOTES = Path(".local/state/usbshare/serial-svc/latches")


def configuration(home: Path, source: Path, name: str = "laser") -> list[str]:
    path = home / f"{name}.toml"
    path.write_text(f'[ports.{name}]\nsource = "{source}"\nprofile = "grbl"\n')
    return ["--config", str(path)]


def stop(home: Path, target: str, *flags: str) -> tuple[int, str]:
    return run(["bridge", "stop", "--target", target, *flags], home)


def epoch_in(line: str) -> str:
    found = re.search(r"--epoch (\d+)", line)
    assert found, line
    return found[1]


def kill(service: Process) -> None:
    service.process.kill()
    service.wait()


@contextmanager
def program(home: Path, target: str, *flags: str) -> Iterator[tuple[Process, int]]:
    """Run a bridge with a program on its port."""
    command = ["bridge", "--target", target, "--vcom", str(home / "COM10"), "--json", *flags]
    with running(command, home) as bridge:
        bridge.wait_for('"ready"')
        port = open_port(home / "COM10")
        yield bridge, port
        os.close(port)


def refuses_programs(home: Path, machine: Machine, target: str) -> bool:
    before = machine.received()
    with program(home, target) as (bridge, port):
        os.write(port, b"G1 X10 F1000\n")
        until(lambda: '"refused"' in bridge.output, "the program's bytes are refused")
    return not machine.has(b"G1 X10", len(before))


def refuses_buffered_lines(home: Path, machine: Machine, target: str) -> bool:
    """Return whether nothing of them reaches the machine; the program is told in its own words."""
    before = machine.received()
    with program(home, target, "--buffered") as (bridge, port):
        os.write(port, b"~G1 X10 F1000\n")
        is_told = hears(port, b"is latched by a stop")
        bridge.wait_for('"event": "refused", .*lines were refused: .* is latched by a stop')
    sent = machine.received()[len(before) :]
    return is_told and not (b"G1" in sent or b"~" in sent)


def until_noted(home: Path, text: str) -> None:
    """Wait for what the service's thread writes beside the stop."""
    until(
        lambda: any(text in path.read_text() for path in (home / NOTES).glob("latch-*")),
        f"{text} in the notes",
    )


def test_a_stop_outlives_a_killed_service(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine.path)
        with serial_service(tmp_path, *options) as (service, target):
            code, line = stop(tmp_path, target, "--reason", "smoke")
            assert code == 0, line
            epoch = epoch_in(line)
            until_noted(tmp_path, '"smoke"')
            kill(service)
        with serial_service(tmp_path, *options) as (service, target):
            service.wait_for(r"port 'laser' is latched by a stop: usbshare://\S+ at .* \(smoke\)")
            assert refuses_programs(tmp_path, machine, target)
            assert refuses_buffered_lines(tmp_path, machine, target)
            code, line = stop(tmp_path, target, "--rearm", "--epoch", epoch)
            assert code == 0, line
            code, output = run(["bridge", "send", "--target", target, "$X"], tmp_path)
            assert code == 0, output
            until_noted(tmp_path, '"latched": null')
            kill(service)
        with serial_service(tmp_path, *options) as (_, target):
            assert stop(tmp_path, target, "--rearm")[1].startswith("port 'laser' is not latched")


def test_a_stop_while_the_device_is_away_latches_what_comes_later(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        source = tmp_path / "laser-socket"
        options = configuration(tmp_path, source)
        with serial_service(tmp_path, *options) as (service, target):
            code, line = stop(tmp_path, target)
            assert code != 0
            assert "not confirmed" in line
            assert "the port is latched" in line
            until_noted(tmp_path, '"emergency stop"')
            kill(service)
        source.symlink_to(machine.path)
        with serial_service(tmp_path, *options) as (_, target):
            assert refuses_programs(tmp_path, machine, target)
            assert machine.received() == b""


def test_a_re_arm_does_not_undo_a_stop_that_the_person_did_not_see(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine.path)
        with serial_service(tmp_path, *options) as (_, target):
            first = epoch_in(stop(tmp_path, target)[1])
            second = epoch_in(stop(tmp_path, target, "--reason", "fire")[1])
            code, line = stop(tmp_path, target, "--rearm", "--epoch", first)
            assert code == 1
            assert "it was latched again, by usbshare://" in line
            assert "(fire)" in line
            assert refuses_programs(tmp_path, machine, target)
            assert stop(tmp_path, target, "--rearm", "--epoch", second)[0] == 0
            assert stop(tmp_path, target, "--epoch", second)[0] == 2


def test_a_latch_follows_a_renamed_port_of_another_address(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        with serial_service(tmp_path, *configuration(tmp_path, machine.path)) as (_, target):
            assert stop(tmp_path, target)[0] == 0
        with serial_service(tmp_path, *configuration(tmp_path, machine.path, "cutter")) as (
            _,
            target,
        ):
            assert refuses_programs(tmp_path, machine, target)


def test_a_folder_that_cannot_be_read_latches(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine.path)
        (tmp_path / NOTES).parent.mkdir(parents=True)
        (tmp_path / NOTES).write_text("a file in its place")
        with serial_service(tmp_path, *options) as (service, target):
            service.wait_for("whether the port was latched cannot be read")
            assert refuses_programs(tmp_path, machine, target)
            assert stop(tmp_path, target, "--rearm")[0] == 0
            assert run(["bridge", "send", "--target", target, "$X"], tmp_path)[0] == 0


def test_a_damaged_note_latches(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine.path)
        with serial_service(tmp_path, *options) as (service, _):
            until_noted(tmp_path, '"latched": null')
            kill(service)
        for path in (tmp_path / NOTES).iterdir():
            path.write_bytes(b"\x00" * 100)
        with serial_service(tmp_path, *options) as (service, target):
            service.wait_for("cannot be read: it is damaged: its port counts as latched")
            assert refuses_programs(tmp_path, machine, target)
            code, line = stop(tmp_path, target, "--rearm")
            assert code == 0, line
            assert "serial-svc at" in line


JOG_CANCEL = b"\x85"


@pytest.mark.parametrize("front_end", ["vcom", "tcp", "rfc2217"])
def test_no_resume_reaches_a_latched_machine(tmp_path: Path, front_end: FrontEnd) -> None:
    with rig(tmp_path, front_end=front_end) as made:
        assert stop(tmp_path, made.service_target)[0] == 0
        made.bridge.wait_for('"hung_up"')  # a program that opens sooner is hung up with it
        made.program().write(b"~" + JOG_CANCEL)  # a stop, which passes
        until(lambda: JOG_CANCEL in made.machine.received(), "what the program wrote after it")
        options = ["--target", made.service_target, "--port", "laser"]
        console = piped(["bridge", "console", *options], tmp_path, "~\nresume\n")
        assert console.stdout.count("latched by a stop; re-arm it first") == 2, console
        code, line = stop(tmp_path, made.service_target, "--resume")
        assert code == 1
        assert "latched by a stop; re-arm it first" in line
        assert b"~" not in made.machine.received()
