from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fakes.gcode_lines import moving_lines, programs
from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.preamble import preamble
from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.base.errors import InvalidArgumentError
from usbshare.sim.planner import Move, Vector
from usbshare.sim.receive import clean_line
from usbshare.sim.status_codes import Status

# What an interrupted job may leave in force, if nobody resets the machine.
LEFT_OVER = ("G20 G91 G93 G18 G55", "M3 S900", "M8", "T3")
SAFE = ("G90", "G21", "G94", "M4 S400", "F1200", "G20", "M3 S300", "M8", "G18", "G17", "G54")
likely_programs = st.lists(
    st.one_of(moving_lines, st.sampled_from(SAFE)), min_size=1, max_size=40
).map(lambda lines: ["G0 X1 Y1 Z1", "G1 F900", *lines])


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "job.nc"


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


class Machine:
    """Runs lines one by one and keeps what each engraves."""

    def __init__(self, start: Vector = (0.0, 0.0, 0.0)) -> None:
        self.cuts: list[tuple[float, ...]] = []
        self.machine = UntimedMachine({}, on_move=self._moved)
        self._dry_run = DryRun(self.machine)
        self.machine.parser.position = start
        self.machine.planner.reset(start)

    def run(self, lines: list[str]) -> list[Status]:
        answers = []
        for line in lines:
            answers.append(self._dry_run.run(clean_line(line.encode()).decode(), 0))
            self._dry_run.finish()
        return answers

    def _moved(self, start: Vector, move: Move) -> None:
        if move.power > 0:
            self.cuts.append((*start, *move.target, move.power, move.rate, float(move.dynamic)))


def check(path: Path, program: list[str], line: int) -> None:
    """Run a program as a whole, and its rest on another machine; both must engrave the same."""
    before = preamble(written(path, program), line)
    whole = Machine()
    whole.run(program[: line - 1])
    done = len(whole.cuts)
    answers = whole.run(program[line - 1 :])

    named = " ".join(each for each in before if each.startswith("G0 "))
    x, y, z = (5.0 if letter in named else 0.0 for letter in "XYZ")
    other = Machine((x, y, z))
    stored = [each for each in program[: line - 1] if each.startswith(("$1", "$3"))]
    other.run([*stored, *LEFT_OVER])
    assert set(other.run(before)) == {Status.OK}, before
    assert other.cuts == []
    assert other.run(program[line - 1 :]) == answers
    assert len(other.cuts) == len(whole.cuts) - done
    for cut, expected in zip(other.cuts, whole.cuts[done:], strict=True):
        assert cut == pytest.approx(expected, abs=0.002, rel=1e-3), before


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.one_of(programs, likely_programs), st.data())
def test_the_rest_engraves_the_same_as_in_the_whole_program(
    job: Path, program: list[str], data: st.DataObject
) -> None:
    answers = Machine().run(program)
    program = [each for each, answer in zip(program, answers, strict=True) if answer is Status.OK]
    line = data.draw(st.integers(2, max(2, len(program))))
    assume(line <= len(program))
    with suppress(InvalidArgumentError):  # what cannot be rebuilt is refused
        check(job, program, line)


def test_a_raster_goes_on_in_its_modes(job: Path) -> None:
    program = ["G21 G90", "M4 S0", "G0 X10 Y5", "G1 X20 S300 F6000", "X30 S500", "M8", "X40 S0"]
    assert preamble(written(job, program), 7) == [
        "M5 M9",
        "G0 G90 G94 G21 G54",
        "G0 X30 Y5",
        "M8",
        "F6000",
        "M4 S500",
        "G17 G21 G90 G94",
        "G1",
    ]
    check(job, program, 7)


def test_inches_increments_and_offsets_are_rebuilt(job: Path) -> None:
    program = ["G0 X10 Y10 Z5", "Z-1", "G92 X0", "G20 G91", "G1 X1 F10", "M3 S50", "G1 Y1", "G1 X1"]
    lines = preamble(written(job, program), 7)
    assert lines[:7] == [
        "M5 M9",
        "G0 G90 G94 G21 G54",
        "G92.1",
        "G0 Z5",
        "G0 X35.4 Y10",
        "G0 Z-1",
        "G92 X25.4 Y10 Z-1",
    ]
    assert lines[-3:] == ["F254", "M3 S50", "G17 G20 G91 G94"]
    check(job, program, 7)


def test_the_first_line_needs_nothing(job: Path) -> None:
    assert preamble(written(job, ["G91 X1"]), 1) == []


@pytest.mark.parametrize(
    ("program", "line", "reason"),
    [
        (["G91", "G0 X1", "G0 X1"], 3, "where X is there depends on where the machine was"),
        (["G28", "G0 X1 Y1"], 2, "where X is there depends on"),
        (["$H", "G0 X1"], 2, "where X is there depends on"),
        (["G92 X0 Y0", "G1 X1 F9"], 2, "G92 set X relative to where the machine was"),
        (["G10 L2 P1 X5", "G0 X1"], 2, "set a coordinate system"),
        (["G0 X1 Y1", "G2 X3 I1 F90", "X5 I1"], 3, "continues with an arc"),
        (["G0 X1", "G55", "G1 X3 F3"], 3, "where X is there depends on"),
        (["G0 X1", "G2 X5 Y0 I2 F9", "G0 X0"], 3, "line 2 depends on where the machine was"),
        (["$C", "G0 X0"], 2, "in check mode"),
        (["G0 X0", "M2", "X5"], 3, "continues with G1 and no feed rate"),
        (["G0 X0"], 9, "the file has 1 lines"),
        (["G0 X1 Y1", "G0 X5 A90", "G1 Y3"], 3, "what line 2 does is unknown: error:20"),
        (["G0 Z5", "G38.2 Z-9 F50", "G0 Z5"], 3, "what line 2 does is unknown: error:20"),
        (["G0 X1 Y1", "G1 X5 E3 F99", "M106 S9", "G1 X6"], 4, "what line 2 does is unknown"),
        (["G0 X1", "#1=5", "G0 X2"], 3, "what line 2 does is unknown"),
    ],
)
def test_a_start_that_depends_on_an_unknown_state_is_refused(
    job: Path, program: list[str], line: int, reason: str
) -> None:
    with pytest.raises(InvalidArgumentError, match="line") as refused:
        preamble(written(job, program), line)
    assert reason in str(refused.value)


def test_the_beam_is_off_until_the_modes_are_set(job: Path) -> None:
    program = ["G0 X10 Y10", "M3 S500", "G1 X20 F600", "X30", "X40"]
    lines = preamble(written(job, program), 4)
    assert lines.index("G0 X20 Y10") < lines.index("M3 S500")
    assert not any("S" in line or "M3" in line for line in lines[: lines.index("M3 S500")])
