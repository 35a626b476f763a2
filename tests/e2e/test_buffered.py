"""Programs whose motion lines are answered early, through a real bridge and service."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.job_rig import DEADLINE_S, FrontEnd, Program, Rig, rig, until
from fakes.processes import run, serial_service, simulated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs ptys")

HEAD = ["G21 G90", "M4 S0", "G0 X0 Y0"]
BUFFERED = ("--buffered", "16k")


def raster(lines: int) -> list[str]:
    """Return short moves, as an engraving has them."""
    return [f"G1 X{n // 10}.{n % 10} S{n % 256} F6000" for n in range(1, lines + 1)]


class Talk:
    """A program that writes, and keeps what it is answered."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.heard = b""

    def say(self, *lines: str) -> None:
        self.program.write("".join(line + "\n" for line in lines).encode())

    def hear(self, answer: bytes) -> None:
        """Read until that has been answered."""
        end = time.monotonic() + DEADLINE_S
        while answer not in self.heard:
            assert time.monotonic() < end, (answer, self.heard)
            data = self.program.read()
            assert data, "hung up"
            self.heard += data

    def oks(self, count: int) -> None:
        """Read until there have been so many."""
        end = time.monotonic() + DEADLINE_S
        while self.heard.count(b"ok\r\n") < count:
            assert time.monotonic() < end, self.heard
            self.heard += self.program.read()


def program_bytes(rig: Rig) -> bytes:
    return rig.machine.received().translate(None, b"?!~")


def written(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def has(rig: Rig, lines: list[str]) -> Callable[[], bool]:
    return lambda: program_bytes(rig) == written(lines)


@pytest.mark.parametrize("front_end", ["vcom", "tcp", "rfc2217"])
def test_a_job_arrives_whole_and_each_line_has_one_answer(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    lines = [*HEAD, *raster(300), "M5", "G4 P0.01"]
    with rig(tmp_path, front_end=front_end, more=BUFFERED) as made:
        job = made.job(lines)
        job.finish()
        assert (job.answered, job.failure) == (len(lines), "")
        assert program_bytes(made) == written(lines)
        assert not made.machine.events("lost")


def test_motion_is_answered_before_the_machine_has_it_and_a_question_is_not(
    tmp_path: Path,
) -> None:
    slow = [f"G1 X{n % 2} F30" for n in range(1, 61)]  # two seconds each
    with rig(tmp_path, more=BUFFERED) as made:
        talk = Talk(made.program())
        talk.say(*HEAD, *slow)
        talk.oks(len(HEAD) + len(slow))
        assert len(program_bytes(made).splitlines()) < len(HEAD) + len(slow)
        talk.heard = b""
        talk.say("$G")
        talk.program.write(b"?")
        talk.hear(b">")
        assert b"[GC:" not in talk.heard
        assert b"ok" not in talk.heard


def test_a_question_behind_motion_brings_its_own_answer(tmp_path: Path) -> None:
    with rig(tmp_path, more=BUFFERED) as made:
        talk = Talk(made.program())
        talk.say(*HEAD, *raster(40), "$G", "G1 X1 S0")
        talk.oks(len(HEAD) + 42)
        before, _, _ = talk.heard.partition(b"[GC:")
        assert before.count(b"ok\r\n") == len(HEAD) + 40


def test_a_late_error_names_its_line_and_the_rest_waits_for_a_person(tmp_path: Path) -> None:
    lines = [*HEAD, *raster(30), "G1 X1 X2", *raster(20)]
    with rig(tmp_path, more=BUFFERED) as made:
        talk = Talk(made.program())
        talk.say(*lines)
        talk.hear(b"error:25\r\n")
        assert b"[MSG:line 34 was rejected: G1 X1 X2]\r\n" in talk.heard
        assert talk.heard.count(b"ok\r\n") == len(lines)
        made.bridge.wait_for('"held"')
        target = ["--target", made.service_target]
        code, output = run(["bridge", "list", *target, "--json"], made.home)
        assert "G1 X1 X2" in output, output
        code, output = run(["bridge", "stop", "--resume", *target], made.home)
        assert code == 0, output
        until(has(made, lines), "the rest is delivered")


def test_a_programs_reset_voids_what_ran_ahead(tmp_path: Path) -> None:
    slow = [f"G1 X{n % 2} F30" for n in range(1, 61)]
    with rig(tmp_path, more=BUFFERED) as made:
        talk = Talk(made.program())
        talk.say(*HEAD, *slow)
        talk.oks(len(HEAD) + len(slow))
        talk.program.write(b"\x18")
        talk.hear(b"Grbl")
        talk.heard = b""
        talk.say("$X")
        talk.oks(1)
        talk.say("G1 X3 F6000", "G4 P0.01")
        talk.oks(3)
        after = program_bytes(made).rpartition(b"\x18")[2]
        assert after.strip() == b"$X\nG1 X3 F6000\nG4 P0.01"


def test_a_stop_voids_what_ran_ahead_and_hangs_up(tmp_path: Path) -> None:
    slow = [f"G1 X{n % 2} F30" for n in range(1, 61)]
    with rig(tmp_path, more=BUFFERED) as made:
        talk = Talk(made.program())
        talk.say(*HEAD, *slow)
        talk.oks(len(HEAD) + len(slow))
        code, output = run(["bridge", "stop", "--target", made.service_target], made.home)
        assert code == 0, output
        made.bridge.wait_for('"hung_up"')
        until(lambda: b"\x18" in made.machine.received(), "the reset")
        before = len(program_bytes(made).splitlines())
        code, output = run(
            ["bridge", "stop", "--rearm", "--target", made.service_target], made.home
        )
        assert code == 0, output
        talk = Talk(made.program())
        talk.say("$X")
        talk.oks(1)
        assert b"G1" not in program_bytes(made).rpartition(b"\x18")[2]
        assert before < len(HEAD) + len(slow)


def test_a_lost_connection_costs_no_line_and_doubles_none(tmp_path: Path) -> None:
    lines = [*HEAD, *raster(400), "G4 P0.01"]
    with rig(tmp_path, more=BUFFERED, link_loss='"continue"') as made:
        job = made.job(lines)
        until(lambda: len(program_bytes(made)) > 1000, "the job runs")
        made.proxy.cut()
        made.bridge.wait_for('"resumed"')
        job.finish()
        assert (job.answered, job.failure) == (len(lines), "")
        assert program_bytes(made) == written(lines)


def test_a_port_without_replies_is_refused_with_the_reason(tmp_path: Path) -> None:

    with simulated("grbl", tmp_path) as (path, _):
        config = tmp_path / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{path}"\nprofile = "raw"\n')
        with serial_service(tmp_path, "--config", str(config)) as (_, target):
            arguments = ["bridge", "--target", target, "--vcom", str(tmp_path / "COM10")]
            code, output = run([*arguments, "--buffered"], tmp_path)
    assert code == 1
    assert "raw" in output, output
    assert "Traceback" not in output


def test_an_observer_has_nothing_to_buffer(tmp_path: Path) -> None:
    code, output = run(
        ["bridge", "--target", "nowhere", "--vcom", "X", "--observe", "--buffered"], tmp_path
    )
    assert code == 2
    assert "Give '--observe' or '--buffered', not both" in output
