from __future__ import annotations

import pytest
from hypothesis import given, settings

from fakes.gcode_lines import programs
from fakes.grbl_run import run_at_once, run_over_line
from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.supply import Supply
from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.sim.planner import Move, Vector
from usbshare.sim.receive import clean_line
from usbshare.sim.status_codes import Status


class Engraved:
    def __init__(self) -> None:
        self.segments: list[tuple[float, ...]] = []

    def add(self, start: Vector, move: Move) -> None:
        power = min(move.power, 1000)
        if power and move.target != start:
            self.segments.append((*start[:2], *move.target[:2], power))


def answer(status: Status) -> str:
    return "ok" if status is Status.OK else f"error:{int(status)}"


def dry_run(lines: list[str], supply: Supply | None = None) -> tuple[float, list[str], Engraved]:
    engraved = Engraved()
    run = DryRun(UntimedMachine({}, on_move=engraved.add), supply)
    answers = [answer(run.run(clean_line(line.encode()).decode(), len(line) + 1)) for line in lines]
    return run.finish(), answers, engraved


@settings(deadline=None, max_examples=80)
@given(programs)
def test_time_answers_and_engraving_are_those_of_the_simulators_own_run(lines: list[str]) -> None:
    real = run_at_once(lines)
    duration_s, answers, engraved = dry_run(lines)
    assert answers == real.answers
    assert duration_s == pytest.approx(real.duration_s, rel=1e-6, abs=1e-6)
    burnt = [(s.x0, s.y0, s.x1, s.y1, s.power) for s in real.record.segments]
    assert engraved.segments == [pytest.approx(segment) for segment in burnt]


def raster(lines: int) -> list[str]:
    moves = [f"G1 X{n % 80 * 0.1:.3f} S{n % 7 * 150}" for n in range(lines)]
    return ["G21", "G90", "M4 S0", "G1 F12000", *moves, "M5"]


@pytest.mark.parametrize("baud", [9600, 38400, 115200])
def test_a_line_that_is_too_slow_makes_the_job_as_long_as_it_is(baud: int) -> None:
    lines = raster(400)
    real = run_over_line(lines, baud)
    duration_s, answers, _ = dry_run(lines, Supply(baud / 10))
    assert answers == real.answers
    assert duration_s == pytest.approx(real.duration_s, rel=0.02)


def test_a_pause_of_the_program_takes_no_time_and_is_counted() -> None:
    run = DryRun(UntimedMachine({}))
    for line in ("G1X10F600", "M0", "G1X0"):
        assert run.run(line, len(line) + 1) is Status.OK
    assert run.finish() == pytest.approx(2.0, abs=0.2)
    assert run.machine.pauses == 1


def test_homing_takes_the_time_that_the_machine_needs() -> None:
    settings = {22: 1.0, 130: 300.0, 131: 200.0, 132: 10.0}
    run = DryRun(UntimedMachine(settings))
    assert run.run("$H", 3) is Status.OK
    real = run_at_once(["$X", "$H"], settings)
    assert run.finish() == pytest.approx(real.duration_s)
