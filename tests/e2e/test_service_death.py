"""A service that dies while its machine works: the next one stops the machine first of all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import serial

from fakes.cable import Cable
from fakes.job_rig import Job, until
from fakes.machine import Machine, simulated_machine
from fakes.processes import SEND, Process, run, running, serial_service

DOOR, RESET = b"\x84", b"\x18"
# One line keeps the machine busy for minutes, so that the service's death does not stop it.
JOB = ["M4 S1000", *(f"G1 X{300 + n} Y{n} F60" for n in range(40))]
NOTES = Path(".local/state/usbshare/serial-svc/active-0")


def configuration(home: Path, machine: Machine) -> list[str]:
    path = home / "serial.toml"
    path.write_text(f'[ports.laser]\nsource = "{machine.path}"\nprofile = "grbl"\n')
    return ["--config", str(path)]


def kill_while_it_works(home: Path, machine: Machine, options: list[str]) -> None:
    with serial_service(home, *options) as (service, target):
        bridge = ["bridge", "--target", target, "--vcom", str(home / "COM10"), "--json"]
        with running(bridge, home) as client:
            client.wait_for('"ready"')
            Job(home / "COM10", JOB).start()
            until(lambda: burns(machine), "the beam to be on")
            until(lambda: notes(home), "the note that it works")
            service.process.kill()
            client.wait_for('"lost"')


def notes(home: Path) -> list[Path]:
    """Return the whole notes of machines at work; their folder comes with the first."""
    return list((home / NOTES).glob("port-*"))


def burns(machine: Machine) -> bool:
    now = time.monotonic()
    return machine.beam_on_between(now - 0.001, now) > 0


def test_the_next_service_stops_a_machine_at_work_before_anything_else_is_written(
    tmp_path: Path,
) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine)
        kill_while_it_works(tmp_path, machine, options)
        assert burns(machine), "nobody is left to stop it"
        assert DOOR not in machine.received()
        with serial_service(tmp_path, *options) as (service, target):
            service.wait_for("was running a job when the service crashed")
            until(lambda: not burns(machine), "the beam to be off")
            program, _, rest = machine.received().partition(DOOR)
            # The service that died may have asked for a report.
            assert "\n".join([*JOB, ""]).encode().startswith(program.replace(b"?", b""))
            assert rest.strip(b"?") in (b"", RESET)
            service.wait_for("reset the machine of a lost job")
            until(
                lambda: machine.received().partition(DOOR)[2].strip(b"?") == RESET,
                "the machine is reset",
            )
            command = ["bridge", *SEND, "--target", target]
            code, output = run([*command, "G1 X9 F60"], tmp_path)
            assert code != 0
            assert "has lost a job" in output
            assert run(["bridge", "stop", "--rearm", "--target", target], tmp_path)[0] == 0
            code, output = run([*command, "?"], tmp_path)
            assert code == 0, output
            assert "<Idle" in output


def test_a_machine_that_was_away_at_the_next_start_is_stopped_when_it_is_back(
    tmp_path: Path,
) -> None:
    with (
        simulated_machine(tmp_path) as machine,
        Cable(tmp_path / "tty-cable", machine.path) as cable,
    ):
        options = configuration(tmp_path, replace(machine, path=cable.link))
        kill_while_it_works(tmp_path, machine, options)
        cable.unplug()
        with serial_service(tmp_path, *options) as (service, _):
            service.wait_for("was running a job when the service crashed: .*tty-cable")
            cable.plug_in()
            until(lambda: not burns(machine), "the beam to be off")
            assert machine.received().partition(DOOR)[2].strip(b"?") in (b"", RESET)
            service.wait_for("reset the machine of a lost job")


def test_a_machine_that_was_unplugged_before_the_crash_is_stopped_when_it_is_back(
    tmp_path: Path,
) -> None:
    with (
        simulated_machine(tmp_path) as machine,
        Cable(tmp_path / "tty-cable", machine.path) as cable,
    ):
        options = configuration(tmp_path, replace(machine, path=cable.link))
        with serial_service(tmp_path, *options) as (service, target):
            bridge = ["bridge", "--target", target, "--vcom", str(tmp_path / "COM10"), "--json"]
            with running(bridge, tmp_path) as client:
                client.wait_for('"ready"')
                Job(tmp_path / "COM10", JOB).start()
                until(lambda: burns(machine), "the beam to be on")
                cable.unplug()
                service.wait_for("a job was lost: the device was lost")
                kill(service)
        with serial_service(tmp_path, *options) as (service, _):
            cable.plug_in()
            until(lambda: not burns(machine), "the beam to be off")
            assert DOOR in machine.received()


def test_a_machine_that_was_only_asked_is_left_alone_by_the_next_service(tmp_path: Path) -> None:
    """The program never asks for the state (`?`), and has every answer."""
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine)
        with serial_service(tmp_path, *options) as (service, target):
            bridge = ["bridge", "--target", target, "--vcom", str(tmp_path / "COM10"), "--json"]
            with running(bridge, tmp_path) as client:
                client.wait_for('"ready"')
                with serial.Serial(str(tmp_path / "COM10"), 115200, timeout=60) as port:
                    port.write(b"$I\n")
                    assert port.read_until(b"ok\r\n").endswith(b"ok\r\n")
                    until(lambda: not notes(tmp_path), "the machine to rest")
                    service.process.kill()
                    service.wait()
        with serial_service(tmp_path, *options) as (service, target):
            code, output = run(["bridge", "send", "--target", target, "G1 X1 F600"], tmp_path)
            assert code == 0, output
            assert "was running a job" not in service.output


def test_a_machine_that_rests_is_left_alone_by_the_next_service(tmp_path: Path) -> None:
    with simulated_machine(tmp_path) as machine:
        options = configuration(tmp_path, machine)
        with serial_service(tmp_path, *options) as (service, target):
            assert run(["bridge", "send", "--target", target, "G0 X1"], tmp_path)[0] == 0
            until(lambda: not notes(tmp_path), "the machine to rest")
            kill(service)
        with serial_service(tmp_path, *options) as (_, target):
            assert run(["bridge", "send", "--target", target, "$I"], tmp_path)[0] == 0
        assert DOOR not in machine.received()


def kill(service: Process) -> None:
    service.process.kill()
    service.wait()
