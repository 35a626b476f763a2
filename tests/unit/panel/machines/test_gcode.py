from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.machines import gcode
from usbshare.panel.machines.gcode import Rectangle

BOX = Rectangle(0, 0, 10, 20)


def test_a_pulse_is_off_at_its_end_and_everything_is_one_piece() -> None:
    lines = gcode.pulse(5, 0.25, 1000)
    assert lines == ("G1F100", "M3S50", "G4P0.250", "M5S0", "G0")
    assert sum(len(line) + 1 for line in lines) < 128  # what GRBL's buffer holds


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: gcode.pulse(5, 1.01, 1000),
        lambda: gcode.pulse(5, 0, 1000),
        lambda: gcode.pulse(5, float("nan"), 1000),
        lambda: gcode.pulse(10.5, 0.1, 1000),
        lambda: gcode.pulse(0, 0.1, 1000),
        lambda: gcode.pulse(float("nan"), 0.1, 1000),
        lambda: gcode.lit_frame(BOX, 1000, 11, 1000),
        lambda: gcode.lit_frame(BOX, -1, 5, 1000),
        lambda: gcode.dark_frame(Rectangle(1, 1, 1, 1), 1000),
        lambda: gcode.dark_frame(Rectangle(0, 0, 1e9, 1), 1000),
        lambda: gcode.relative_jog(0, 0, 0, 100),
        lambda: gcode.relative_jog(float("inf"), 0, 0, 100),
        lambda: gcode.jog_to_zero("", 100),
        lambda: gcode.set_zero("A"),
        lambda: gcode.override_bytes((100, 100, 100), 5, None, None),
        lambda: gcode.override_bytes((100, 100, 100), None, 60, None),
    ],
)
def test_values_out_of_range_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError):
        wrong()


def test_a_dark_frame_turns_the_beam_off_first_and_changes_no_mode() -> None:
    first, *jogs = gcode.dark_frame(BOX, 3000)
    assert first == "M5S0"
    assert all(jog.startswith("$J=G21G90X") for jog in jogs)
    assert jogs[0] == jogs[-1]


def test_a_lit_frame_is_dark_on_the_way_to_it_and_after_it() -> None:
    lines = gcode.lit_frame(BOX, 3000, 2, 1000)
    assert lines[0].endswith("M4S0")
    assert all(line.endswith("S20") for line in lines[1:5])
    assert lines[5:] == ("M5S0", "G0")


def test_modes_that_were_others_come_back() -> None:
    assert gcode.restored(["G0", "G54", "G20", "G91", "M5"]) == ("G20G91",)
    assert gcode.restored(["G0", "G21", "G90"]) == ()


@given(st.integers(10, 200), st.integers(10, 200))
def test_override_steps_lead_from_any_percentage_to_any_other(now: int, wanted: int) -> None:
    steps = {0x91: 10, 0x92: -10, 0x93: 1, 0x94: -1}
    for code in gcode.override_bytes((now, 100, 100), wanted, None, None):
        now = 100 if code == 0x90 else now + steps[code]
    assert now == wanted
