from __future__ import annotations

from typing import Any

import pytest

from usbshare.sim.record import Segment

FAST = "G1X100F6000\n"


def beam(grbl: Any) -> float:
    return float(grbl.record.beam_power)


def test_the_constant_beam_stays_on_at_rest(grbl: Any) -> None:
    grbl.send("M3S500\nG1X1F600\n")
    grbl.settle()
    assert beam(grbl) == 500


def test_the_dynamic_beam_is_on_only_in_motion(grbl: Any) -> None:
    grbl.send("M4S500\n")
    assert beam(grbl) == 0
    grbl.send("G1X10F600\n")
    assert beam(grbl) == 500
    grbl.settle()
    assert beam(grbl) == 0
    assert grbl.record.beam_on_s(grbl.now_s) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("mode", ["M3", "M4"])
def test_a_rapid_is_dark(grbl: Any, mode: str) -> None:
    grbl.send(f"{mode}S500\nG0X10\n")
    assert beam(grbl) == 0
    assert grbl.settle().count("ok") <= 2
    assert not grbl.record.segments


def test_power_follows_the_pixels_without_stopping(grbl: Any) -> None:
    grbl.send("M4\nG1F6000S0X1\nX2S100\nX3S200\nX4S0\n")
    grbl.settle()
    assert list(grbl.record.segments) == [Segment(1, 0, 2, 0, 100), Segment(2, 0, 3, 0, 200)]


def test_s_alone_changes_a_constant_beam_after_the_motion(grbl: Any) -> None:
    grbl.send("M3S500\nG1X1F600\nS10\n")
    assert beam(grbl) == 500
    grbl.settle()
    assert beam(grbl) == 10


def test_leaving_feed_mode_without_motion_turns_a_constant_beam_off(grbl: Any) -> None:
    grbl.send("M3S500\nG1X1F600\nG0\n")
    grbl.settle()
    assert beam(grbl) == 0


def test_power_is_limited_by_the_settings(grbl: Any) -> None:
    grbl.send("$30=255\n$31=5\nM4S1000\nG1X10F600\n")
    assert beam(grbl) == 255
    grbl.send("X20S1\n")
    grbl.settle()
    assert [segment.power for segment in grbl.record.segments] == [255, 5]


@pytest.mark.parametrize("mode", ["M3", "M4"])
def test_a_hold_ends_the_beam_and_resuming_restores_it(grbl: Any, mode: str) -> None:
    grbl.send(f"{mode}S500\n" + FAST)
    grbl.run(0.5)
    grbl.send("!")
    grbl.settle()
    assert beam(grbl) == 0
    assert grbl.send("~") == "[MSG:Restoring spindle]\r\n"
    assert beam(grbl) == 500


def test_a_door_ends_beam_and_coolant(grbl: Any) -> None:
    grbl.send("M8\nM3S500\n" + FAST)
    grbl.run(0.5)
    grbl.send(b"\x84")
    grbl.settle()
    assert beam(grbl) == 0
    assert not grbl.controller.machine.coolant.flood
    grbl.send("~")
    grbl.run(1.05)
    assert beam(grbl) == 500
    assert grbl.controller.machine.coolant.flood


def test_a_reset_ends_the_beam_in_the_same_instant(grbl: Any) -> None:
    grbl.send("M3S500\n" + FAST)
    grbl.run(0.5)
    grbl.controller.receive(b"\x18", grbl.now_s)
    assert beam(grbl) == 0
    assert grbl.record.intervals[-1].end_s == grbl.now_s
    assert grbl.record.events[-1].name == "reset"


def test_a_reset_keeps_the_piece_that_was_burnt(grbl: Any) -> None:
    grbl.send("M4S500\n" + FAST)
    grbl.run(0.5)
    grbl.send("\x18")
    (segment,) = grbl.record.segments
    assert 0 < segment.x1 < 100


def test_m5_waits_for_the_motion(grbl: Any) -> None:
    grbl.send("M3S500\nG1X10F600\nM5\n")
    assert beam(grbl) == 500
    grbl.settle()
    assert beam(grbl) == 0
    assert grbl.now_s == pytest.approx(1.0, abs=0.05)


def test_a_spindle_override_scales_the_beam_at_once(grbl: Any) -> None:
    grbl.send("M4S500\n" + FAST + "\x9b")
    assert beam(grbl) == 450


def test_the_report_names_the_accessories(grbl: Any) -> None:
    grbl.send("M8\nM3S500\nG1X1F600\n")
    reports = [grbl.status() for _ in range(2)]
    assert "SF" in [report.get("A") for report in reports]


def test_coolant_bytes_toggle_the_pins(grbl: Any) -> None:
    grbl.send(b"\xa0\xa1")
    assert "M7 M8" in grbl.send("$G\n")
    grbl.send(b"\xa0")
    assert "M7 T0" in grbl.send("$G\n")


def test_spindle_stop_in_a_hold_toggles_a_constant_beam(grbl: Any) -> None:
    grbl.send("M3S500\n" + FAST)
    grbl.run(0.5)
    grbl.send("!")
    grbl.settle()
    grbl.send(b"\x9e")
    assert beam(grbl) == 500
    grbl.send(b"\x9e")
    assert beam(grbl) == 0


def test_without_laser_mode_the_spindle_turns_on_with_m4(grbl: Any) -> None:
    grbl.send("$32=0\nM4S500\n")
    assert beam(grbl) == 500


def test_a_held_run_engraves_the_same_as_an_undisturbed_one(grbl: Any) -> None:
    program = "M4\n" + "".join(f"G1X{n / 2}Y{n % 3}S{100 + n}F6000\n" for n in range(1, 9))
    grbl.send(program)
    grbl.run(0.1)
    grbl.send("!")
    grbl.settle()
    grbl.send("~")
    grbl.settle()
    held = grbl.record.engraving()
    other = type(grbl)(type(grbl.controller)())
    other.send(program)
    other.settle()
    assert other.record.engraving() == held
