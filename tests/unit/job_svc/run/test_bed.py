"""A job is compared with the machine's travel by the work zero that the machine has then."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from usbshare.analysis.analyse import analyse
from usbshare.analysis.records import MachineFacts
from usbshare.base.errors import WrongStateError
from usbshare.job_svc.run.bed import Standing, require_on_bed

BED = {20: 1.0, 22: 1.0, 130: 400.0, 131: 300.0, 132: 50.0}
# Homed, with a pull-off of 1 mm, at the lower left; the work zero is 10 mm from there.
HOMED = Standing(MachineFacts(BED, (-389.0, -289.0, -1.0)), "G54", (-399.0, -299.0, -1.0))
LIMITS_OFF = replace(HOMED, facts=MachineFacts({**BED, 20: 0.0}, (-389.0, -289.0, -1.0)))


def said(folder: Path, program: str, machine: Standing) -> str:
    path = folder / "job.gcode"
    path.write_text(program)
    return require_on_bed(analyse(path, machine=MachineFacts(machine.facts.settings)), machine)


INSIDE = "G90\nG0 X380 Y0\nG1 Y280 F1000\n"
OUTSIDE = "G90\nG0 X0 Y0\nG1 X401 F1000\n"
BY = r"X 401\.0 is 12\.0 mm beyond its end \(machine X 12\.0, travel -400\.0 to 0\.0\)"


def test_a_job_within_the_travel_starts_without_a_word(tmp_path: Path) -> None:
    assert said(tmp_path, INSIDE, HOMED) == ""


def test_what_soft_limits_would_end_is_refused_with_axis_and_distance(tmp_path: Path) -> None:
    with pytest.raises(WrongStateError, match=BY + r".*ALARM:2"):
        said(tmp_path, OUTSIDE, HOMED)
    with pytest.raises(WrongStateError, match=r"Y -20\.0 is 9\.0 mm beyond"):
        said(tmp_path, "G90\nG0 X1 Y-20\n", HOMED)


def test_where_nothing_would_end_it_a_person_is_told(tmp_path: Path) -> None:
    text = said(tmp_path, OUTSIDE, LIMITS_OFF)
    assert text.startswith("it may leave the machine's travel: X 401.0 is 12.0 mm beyond")


def test_a_machine_built_with_a_positive_space_is_compared_with_that(tmp_path: Path) -> None:
    machine = Standing(MachineFacts(BED, (10.0, 10.0, 1.0)), "G54", (1.0, 1.0, 1.0))
    assert said(tmp_path, INSIDE, machine) == ""
    with pytest.raises(WrongStateError, match=r"X 401\.0 is 11\.0 mm beyond"):
        said(tmp_path, OUTSIDE, machine)


@pytest.mark.parametrize(
    ("program", "machine", "why"),
    [
        (OUTSIDE, replace(HOMED, facts=MachineFacts(BED)), "did not report its work zero"),
        (OUTSIDE, replace(HOMED, position=(0.0, 0.0, 0.0)), "at machine 0 of X"),
        (OUTSIDE, replace(HOMED, position=()), "at machine 0 of X"),
        ("G55\n" + OUTSIDE, HOMED, r"\(G55\)"),
        ("G92 X0\n" + OUTSIDE, HOMED, r"\(G92\)"),
        (OUTSIDE + "G53 G0 X-1\n", HOMED, r"\(G53\)"),
        ("G54\n" + OUTSIDE, replace(HOMED, system="G55"), r"\(G54\)"),
    ],
)
def test_what_is_not_known_is_said_and_refuses_nothing(
    tmp_path: Path, program: str, machine: Standing, why: str
) -> None:
    text = said(tmp_path, program, machine)
    assert text.startswith("not compared with the machine's travel: ")
    assert re.search(why, text)


def test_the_active_system_may_be_named_by_the_program(tmp_path: Path) -> None:
    with pytest.raises(WrongStateError, match=BY):
        said(tmp_path, "G54\n" + OUTSIDE, HOMED)


def test_a_guess_refuses_nothing(tmp_path: Path) -> None:
    """Where a relative move goes, and where an axis is that is not named, is not known."""
    assert said(tmp_path, "G91\nG0 X401\nG90\n", HOMED).startswith("it may leave")
    machine = replace(HOMED, facts=MachineFacts(BED, (-389.0, -289.0, 5.0)))
    assert said(tmp_path, INSIDE, machine) == ""


def test_a_machine_without_homing_does_not_know_where_it_is(tmp_path: Path) -> None:
    facts = MachineFacts({**BED, 20: 0.0, 22: 0.0}, (-389.0, -289.0, -1.0))
    assert said(tmp_path, OUTSIDE, replace(HOMED, facts=facts)) == ""
