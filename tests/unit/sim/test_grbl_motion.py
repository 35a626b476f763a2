from __future__ import annotations

from typing import Any

import pytest

FAST = "G1X100F6000\n"


def position(grbl: Any) -> list[float]:
    return [float(value) for value in grbl.status()["MPos"].split(",")]


def test_a_move_takes_its_length_over_its_feed(grbl: Any) -> None:
    grbl.send("G1X10F600\n")
    assert grbl.status()["state"] == "Run"
    grbl.settle()
    assert grbl.now_s == pytest.approx(1.0, abs=0.05)
    assert grbl.status()["state"] == "Idle"


def test_the_position_moves_on_meanwhile(grbl: Any) -> None:
    grbl.send("G1X10F600\n")
    grbl.run(0.5)
    assert position(grbl)[0] == pytest.approx(5.0, abs=0.2)


def test_the_rate_is_reported(grbl: Any) -> None:
    grbl.send("G1X100F600\n")
    grbl.run(1.0)
    assert grbl.status()["FS"] == "600,0"


def test_rapids_obey_the_rates_of_the_settings(grbl: Any) -> None:
    grbl.send("$110=600\nG0X10\n")
    grbl.settle()
    assert grbl.now_s == pytest.approx(1.0, abs=0.05)


def test_straight_pieces_run_through_without_stopping(grbl: Any) -> None:
    grbl.send("".join(f"G1X{n / 2}F1200\n" for n in range(1, 11)))
    grbl.settle()
    assert grbl.now_s == pytest.approx(5 / 20 + 20 / 500, abs=0.01)


def test_a_reversal_comes_to_a_stop(grbl: Any) -> None:
    grbl.send("G1X1F3000\nX0\n")
    grbl.settle()
    assert grbl.now_s == pytest.approx(4 * (1 / 500) ** 0.5, abs=0.01)


@pytest.mark.parametrize(
    ("program", "end"),
    [
        ("G91\nG0X1\nX1Y1\n", [2.0, 1.0, 0.0]),
        ("G20\nG0X1\n", [25.4, 0.0, 0.0]),
        ("G10L2P2X10Y5\nG55\nG0X1Y1\n", [11.0, 6.0, 0.0]),
        ("G0X5\nG92X0\nG0X3\n", [8.0, 0.0, 0.0]),
        ("G0X5\nG10L20P1X0\nG0X1\n", [6.0, 0.0, 0.0]),
        ("G10L2P1X5\nG53G0X1\n", [1.0, 0.0, 0.0]),
        ("G0X7Y7\nG28.1\nG0X0\nG28\n", [7.0, 7.0, 0.0]),
        ("G0X7Y7\nG30.1\nG0X0Y0\nG30X0\n", [7.0, 0.0, 0.0]),
        ("G2X10Y0I5J0F6000\n", [10.0, 0.0, 0.0]),
        ("G3X0Y0I5J0F6000\n", [0.0, 0.0, 0.0]),
        ("G2X10Y10R10F6000\n", [10.0, 10.0, 0.0]),
        ("G93\nG1X10F60\n", [10.0, 0.0, 0.0]),
    ],
)
def test_a_program_leads_where_it_should(grbl: Any, program: str, end: list[float]) -> None:
    for line in program.splitlines():
        assert (grbl.send(line + "\n") + grbl.settle()).endswith("ok\r\n"), line
    assert position(grbl) == pytest.approx(end)


def test_an_arc_is_as_long_as_it_is_round(grbl: Any) -> None:
    grbl.send("G3X0Y0I5J0F600\n")
    grbl.settle()
    assert grbl.now_s == pytest.approx(31.4159 / 10, rel=0.05)


def test_a_dwell_waits_for_the_motion_and_then_its_time(grbl: Any) -> None:
    grbl.send("G1X10F600\n")
    assert grbl.send("G4P2\n") == ""
    assert grbl.settle() == "ok\r\n"
    assert grbl.now_s == pytest.approx(3.0, abs=0.05)


def test_a_hold_decelerates_and_a_resume_continues_to_the_end(grbl: Any) -> None:
    grbl.send(FAST)
    grbl.run(0.5)
    grbl.send("!")
    assert grbl.status()["state"] == "Hold:1"
    grbl.settle()
    assert grbl.status()["state"] == "Hold:0"
    stopped_at = position(grbl)[0]
    grbl.run(5.0)
    assert position(grbl)[0] == stopped_at < 100
    grbl.send("~")
    assert grbl.status()["state"] == "Run"
    grbl.settle()
    assert position(grbl)[0] == 100.0


def test_a_hold_reaches_across_blocks(grbl: Any) -> None:
    grbl.send("".join(f"G1X{n / 10}F6000\n" for n in range(1, 15)))
    grbl.run(0.04)
    grbl.send("!")
    grbl.settle()
    assert 0 < position(grbl)[0] < 1.4
    grbl.send("~")
    grbl.settle()
    assert position(grbl)[0] == pytest.approx(1.4)


def test_nothing_is_consumed_during_a_hold(grbl: Any) -> None:
    grbl.send("!")
    assert grbl.send("G0X1\n") == ""
    assert grbl.send("~") == "ok\r\n"


def test_a_program_pause_answers_when_resumed(grbl: Any) -> None:
    assert grbl.send("M0\n") == ""
    assert grbl.status()["state"] == "Hold:0"
    assert grbl.send("~") == "ok\r\n"


def test_the_end_of_a_program_is_announced_and_restores_modes(grbl: Any) -> None:
    grbl.send("G91G55\n")
    assert grbl.send("M30\n") == "[MSG:Pgm End]\r\nok\r\n"
    assert "[GC:G1 G54 G17 G21 G90 G94 M5 M9" in grbl.send("$G\n")


def test_a_door_passes_through_its_phases(grbl: Any) -> None:
    grbl.send("M8\n" + FAST)
    grbl.run(0.5)
    assert grbl.send(b"\x84") == "[MSG:Check Door]\r\n"
    assert grbl.status()["state"] == "Door:2"
    grbl.settle()
    assert grbl.status()["state"] == "Door:0"
    grbl.send("~")
    assert grbl.status()["state"] == "Door:3"
    grbl.run(1.1)
    assert grbl.status()["state"] == "Run"


def test_an_open_door_switch_forbids_resuming(grbl: Any) -> None:
    grbl.controller.set_pin("D", active=True, now_s=0.0)
    grbl.send("~")
    assert grbl.status()["state"] == "Door:1"
    grbl.controller.set_pin("D", active=False, now_s=0.0)
    grbl.send("~")
    assert grbl.status()["state"] == "Idle"


def test_a_jog_runs_in_its_own_state_and_locks_gcode(grbl: Any) -> None:
    assert grbl.send("$J=G91X100F6000\n") == "ok\r\n"
    assert grbl.status()["state"] == "Jog"
    assert grbl.send("G0X1\n") == "error:9\r\n"
    grbl.settle()
    assert position(grbl)[0] == 100.0
    assert "G90" in grbl.send("$G\n")


@pytest.mark.parametrize("cancel", [b"\x85", b"!"])
def test_a_jog_is_cancelled_and_forgotten(grbl: Any, cancel: bytes) -> None:
    grbl.send("$J=G91X100F6000\n$J=G91X100F6000\n")
    grbl.run(0.5)
    grbl.send(cancel)
    grbl.settle()
    assert grbl.status()["state"] == "Idle"
    assert position(grbl)[0] < 100
    grbl.send("G91G0X0\n")
    grbl.settle()
    assert position(grbl)[0] < 100


def test_a_jog_beyond_the_travel_is_refused(grbl: Any) -> None:
    grbl.send("$22=1\n$20=1\n$X\n")
    assert grbl.send("$J=X500F100\n") == "error:15\r\n"


def test_a_feed_override_slows_what_is_under_way(grbl: Any) -> None:
    grbl.send("G1X100F600\n" + "\x92" * 5)
    grbl.run(2.0)
    report = grbl.status()
    assert report["FS"] == "300,0"


def test_overrides_are_reported_and_stay_in_bounds(grbl: Any) -> None:
    grbl.send(b"\x91" * 20 + b"\x96" + b"\x9b" * 20)
    reports = [grbl.status() for _ in range(3)]
    assert "200,50,10" in [report.get("Ov") for report in reports]


def test_line_numbers_are_reported(grbl: Any) -> None:
    grbl.send("N7 G1X10F60\n")
    assert grbl.status()["Ln"] == "7"


def test_a_move_shorter_than_a_step_is_no_block(grbl: Any) -> None:
    grbl.send("G1X0.001F600\n")
    assert grbl.status()["state"] == "Idle"


def test_many_tiny_steps_add_up(grbl: Any) -> None:
    for n in range(1, 101):
        grbl.send(f"G1X{n / 1000:.3f}F600\n")
        grbl.settle()
    assert position(grbl)[0] == pytest.approx(0.1, abs=0.0125)


def test_reports_in_inches(grbl: Any) -> None:
    grbl.send("$13=1\nG0X25.4\n")
    grbl.settle()
    assert grbl.status()["MPos"] == "1.0000,0.0000,0.0000"
