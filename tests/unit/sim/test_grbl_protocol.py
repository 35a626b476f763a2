from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.sim.grbl import GrblController

WELCOME = "\r\nGrbl 1.1h ['$' for help]\r\n"
FAST = "G1X100F6000\n"


def test_grbl_sends_its_banner_at_power_up(grbl: Any) -> None:
    assert grbl.greeting == WELCOME


def test_a_blank_line_gets_an_ok_too(grbl: Any) -> None:
    assert grbl.send("\n\n") == "ok\r\nok\r\n"


def test_a_carriage_return_ends_a_separate_line(grbl: Any) -> None:
    assert grbl.send("G21\r\n") == "ok\r\nok\r\n"


def test_spaces_comments_and_small_letters_do_not_matter(grbl: Any) -> None:
    assert grbl.send("g0 x 1 (a ; comment) y2 ; the rest\n") == "ok\r\n"
    grbl.settle()
    assert grbl.status()["MPos"] == "1.000,2.000,0.000"


def test_the_first_reports_carry_offset_then_overrides(grbl: Any) -> None:
    first = "<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|WCO:0.000,0.000,0.000>\r\n"
    assert grbl.send("?") == first
    assert grbl.send("?") == "<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|Ov:100,100,100>\r\n"
    assert grbl.send("?") == "<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0>\r\n"


def test_offset_and_overrides_come_back_every_tenth_report_when_idle(grbl: Any) -> None:
    reports = [grbl.status() for _ in range(22)]
    assert [n for n, report in enumerate(reports) if "WCO" in report] == [0, 10, 20]
    assert [n for n, report in enumerate(reports) if "Ov" in report] == [1, 11, 21]


def test_the_report_mask_chooses_work_position_and_hides_buffers(grbl: Any) -> None:
    grbl.send("G92X-5\n$10=0\n")
    report = grbl.status()
    assert report["WPos"] == "-5.000,0.000,0.000"
    assert "Bf" not in report
    assert "MPos" not in report


def test_a_status_query_inside_a_line_does_not_disturb_it(grbl: Any) -> None:
    assert grbl.send("G0X1?0\n").endswith("ok\r\n")
    grbl.settle()
    assert grbl.status()["MPos"] == "10.000,0.000,0.000"


def test_unknown_bytes_above_ascii_are_thrown_away(grbl: Any) -> None:
    assert grbl.send(b"G\xc3\xa421\xff\n") == "ok\r\n"


def test_the_planner_takes_fifteen_blocks_and_then_the_line_waits(grbl: Any) -> None:
    answers = grbl.send("".join(f"G1X{n}F60\n" for n in range(1, 20)))
    assert answers.count("ok") == 15
    assert grbl.status()["Bf"].startswith("0,")
    assert grbl.settle().count("ok") == 4


def test_a_full_receive_buffer_loses_what_overflows_it(grbl: Any) -> None:
    grbl.send("G4P10\n" + "\n" * 130)
    assert grbl.record.lost_bytes == 2
    assert grbl.status()["Bf"] == "15,0"
    assert grbl.settle().count("ok") == 129


def test_exactly_128_bytes_fit_while_the_main_loop_waits(grbl: Any) -> None:
    grbl.send("G4P10\n" + "\n" * 128)
    assert grbl.record.lost_bytes == 0


def test_a_status_query_is_answered_while_the_buffer_is_full(grbl: Any) -> None:
    grbl.send("G4P10\n" + "\n" * 200)
    assert grbl.send("?").startswith("<Idle")


def test_a_line_over_79_characters_is_refused_whole(grbl: Any) -> None:
    assert grbl.send("G0X" + "1" * 77 + "\nG21\n") == "error:11\r\nok\r\n"


def test_a_long_comment_is_no_overflow(grbl: Any) -> None:
    assert grbl.send("G21 ;" + "x" * 300 + "\n") == "ok\r\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("1", 1),
        ("GX", 2),
        ("$A", 2),
        ("$10", 3),
        ("$200=1", 3),
        ("G1X1F-1", 4),
        ("$H", 5),
        ("$0=2", 6),
        ("$20=1", 10),
        ("$J=X1", 22),
        ("$JX1", 3),
        ("$J=G0X1F100", 16),
        ("$J=X1F100S5", 36),
        ("G5", 20),
        ("A1", 20),
        ("M6", 20),
        ("G0G1X1", 24),
        ("M3M4", 21),
        ("G1X1", 22),
        ("G1.5X1F1", 23),
        ("G0G92X1", 24),
        ("X1X2", 25),
        ("G92", 26),
        ("N20000000", 27),
        ("G4", 28),
        ("G10L2P9X1", 29),
        ("G53G2X1I1F1", 30),
        ("G80X1", 31),
        ("G2Z1I1F1", 32),
        ("G2X1Y1I9F1", 33),
        ("G2X10R1F1", 34),
        ("G2X1F1", 35),
        ("G21P1", 36),
        ("G43.1X1", 37),
        ("T256", 38),
    ],
)
def test_a_wrong_line_gets_its_error_number(grbl: Any, line: str, answer: int) -> None:
    assert grbl.send(line + "\n") == f"error:{answer}\r\n"


def test_an_error_leaves_the_modes_alone(grbl: Any) -> None:
    grbl.send("G91G0X1P3\n")
    assert "G90" in grbl.send("$G\n")


def test_the_parser_state_is_reported(grbl: Any) -> None:
    grbl.send("G1G20G91G55M4S30F10\n")
    expected = "[GC:G1 G55 G17 G20 G91 G94 M4 M9 T0 F254 S30]\r\nok\r\n"
    assert grbl.send("$G\n") == expected


def test_help_and_build_info_are_reported(grbl: Any) -> None:
    assert grbl.send("$\n").startswith("[HLP:$$ $# $G $I $N")
    assert grbl.send("$I=my laser\n") == "ok\r\n"
    info = grbl.send("$I\n").splitlines()
    assert info[0].startswith("[VER:1.1h.")
    assert info[0].endswith(":MYLASER]")
    assert info[1].endswith(",15,128]")


def test_settings_are_refused_while_moving(grbl: Any) -> None:
    grbl.send(FAST)
    assert grbl.send("$$\n$10=1\n") == "error:8\r\nerror:8\r\n"


def test_check_mode_moves_nothing_and_ends_with_a_reset(grbl: Any) -> None:
    assert grbl.send("$C\n") == "[MSG:Enabled]\r\nok\r\n"
    assert grbl.send("G1X5F100\nM3S5\nG4P9\n") == "ok\r\n" * 3
    assert grbl.status()["state"] == "Check"
    assert grbl.send("$C\nG21\n") == "[MSG:Disabled]\r\nok\r\n" + WELCOME
    assert grbl.status()["MPos"] == "0.000,0.000,0.000"


def test_a_reset_at_rest_is_immediate_and_raises_no_alarm(grbl: Any) -> None:
    assert grbl.send("\x18") == WELCOME
    assert grbl.status()["state"] == "Idle"


def test_a_reset_in_motion_is_an_alarm_and_locks(grbl: Any) -> None:
    grbl.send(FAST)
    grbl.run(0.3)
    assert grbl.send("\x18") == "ALARM:3\r\n"
    assert grbl.run(0.6) == WELCOME + "[MSG:'$H'|'$X' to unlock]\r\n"
    assert grbl.status()["state"] == "Alarm"
    assert grbl.send("G0X1\n") == "error:9\r\n"
    assert grbl.send("$X\n") == "[MSG:Caution: Unlocked]\r\nok\r\n"
    assert grbl.send("G0X1\n") == "ok\r\n"


def test_bytes_between_alarm_and_banner_are_dropped(grbl: Any) -> None:
    grbl.send(FAST)
    grbl.run(0.3)
    grbl.send("\x18G0X50\n$X\n")
    assert grbl.run(1.0).count("ok") == 0
    assert grbl.status()["state"] == "Alarm"


def test_a_reset_empties_buffers_and_modes(grbl: Any) -> None:
    grbl.send("G91G20\nG4P9\nG0X1\nG0X2\n")
    grbl.send("\x18")
    assert "[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]" in grbl.send("$G\n")
    assert grbl.status()["Bf"] == "15,128"


def test_startup_lines_run_at_every_reset(grbl: Any) -> None:
    assert grbl.send("$N0=G20\n") == "ok\r\n"
    assert grbl.send("$N\n") == "$N0=G20\r\n$N1=\r\nok\r\n"
    assert grbl.send("\x18") == WELCOME + ">G20:ok\r\n"


def test_a_wrong_startup_line_is_not_stored(grbl: Any) -> None:
    assert grbl.send("$N0=G5\n") == "error:20\r\n"
    assert "$N0=\r\n" in grbl.send("$N\n")


def test_sleep_ends_only_with_a_reset_and_locks(grbl: Any) -> None:
    assert grbl.send("$SLP\n") == "ok\r\n[MSG:Sleeping]\r\n"
    assert grbl.send("G0X1\n~") == ""
    assert grbl.status()["state"] == "Sleep"
    assert "unlock" in grbl.send("\x18")


def test_restoring_defaults_resets(grbl: Any) -> None:
    grbl.send("$110=5\n")
    assert grbl.send("$RST=$\n") == "[MSG:Restoring defaults]\r\nok\r\n" + WELCOME
    assert "$110=12000.000\r\n" in grbl.send("$$\n")


def test_the_settings_list_is_complete(grbl: Any) -> None:
    *lines, answer = grbl.send("$$\n").split()
    numbers = [int(line.partition("=")[0][1:]) for line in lines]
    axes = [first + n for first in (100, 110, 120, 130) for n in range(3)]
    assert numbers == [*range(7), *range(10, 14), *range(20, 28), 30, 31, 32, *axes]
    assert answer == "ok"
    assert {"$32=1", "$130=400.000", "$131=400.000"} <= set(lines)


def test_homing_takes_time_and_ends_at_the_pull_off(grbl: Any) -> None:
    grbl.send("$22=1\n$23=0\n\x18")
    assert grbl.send("$H\n") == ""
    assert grbl.send("?!?") == ""  # gnea/grbl, limits.c: "No time to run" anything else
    report, answer = grbl.settle().splitlines()
    assert (report.partition("|")[0], answer) == ("<Home", "ok")
    assert grbl.status()["state"] == "Idle"
    assert grbl.status()["MPos"] == "-1.000,-1.000,-1.000"


def test_with_homing_on_it_starts_locked(grbl: Any) -> None:
    grbl.send("$22=1\n")
    grbl.controller.hard_reset(1.0)
    assert "unlock" in grbl.run(1.0)


def test_a_reset_while_homing_is_alarm_6(grbl: Any) -> None:
    grbl.send("$22=1\n$H\n")
    assert grbl.send("\x18") == "ALARM:6\r\n"


def test_a_soft_limit_stops_everything_until_a_reset(grbl: Any) -> None:
    grbl.send("$22=1\n$23=0\n$20=1\n$H\n")
    grbl.settle()
    assert grbl.send("G0X-500\n") == "ALARM:2\r\n[MSG:Reset to continue]\r\n"
    assert grbl.send("?$X\n") == ""
    assert "unlock" in grbl.send("\x18")


def test_a_limit_switch_is_alarm_1_when_hard_limits_are_on(grbl: Any) -> None:
    grbl.send("$21=1\n" + FAST)
    grbl.controller.set_pin("X", active=True, now_s=0.1)
    assert grbl.run(0.1).startswith("ALARM:1\r\n")


def test_an_active_pin_is_in_the_report(grbl: Any) -> None:
    grbl.controller.set_pin("X", active=True, now_s=0.0)
    assert grbl.status()["Pn"] == "X"


def test_a_hard_reset_forgets_the_position_and_keeps_settings(grbl: Any) -> None:
    grbl.send("$13=0\n$110=5000\nG0X5\n")
    grbl.settle()
    grbl.controller.hard_reset(grbl.now_s)
    assert grbl.run(0) == WELCOME
    assert grbl.status()["MPos"] == "0.000,0.000,0.000"
    assert "$110=5000.000" in grbl.send("$$\n")


PROGRAM = b"G21\nM4S500\nG1X1F6000\n?X2S3\n!~X3\nG4P0.1\n$G\n\x84~G0X9\n"


@settings(deadline=None)
@given(st.sets(st.integers(1, len(PROGRAM) - 1)))
def test_how_input_is_split_never_changes_the_outcome(cuts: set[int]) -> None:
    assert _outcome(PROGRAM, cuts) == _outcome(PROGRAM, set())


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_leave_a_controller_that_a_reset_revives(data: bytes) -> None:
    controller = GrblController()
    controller.receive(data, 0.0)
    controller.receive(b"\x18", 1000.0)
    controller.receive(b"$X\n", 1001.0)
    assert controller.advance(1001.0).endswith(b"ok\r\n")


def _outcome(data: bytes, cuts: set[int]) -> tuple[bytes, bytes, int]:
    controller = GrblController()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        controller.receive(data[start:end], 0.0)
    record = controller.record
    return controller.advance(60.0), record.engraving(), record.lost_bytes
