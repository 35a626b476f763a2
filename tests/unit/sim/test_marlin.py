from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.sim.marlin import MarlinController


def numbered(number: int, command: str) -> str:
    body = f"N{number} {command}"
    total = 0
    for byte in body.encode():
        total ^= byte
    return f"{body}*{total}\n"


def test_marlin_sends_its_banner_at_power_up(marlin: Any) -> None:
    assert marlin.greeting.startswith("start\necho:Marlin 2.1.2\n")


def test_every_command_gets_an_ok_and_blank_lines_none(marlin: Any) -> None:
    assert marlin.send("G21\n\n; only a comment\nG90\n") == "ok\nok\n"


def test_a_move_is_acknowledged_when_queued_and_takes_its_time(marlin: Any) -> None:
    assert marlin.send("G1 X10 F600\n") == "ok\n"
    assert marlin.send("M400\n") == ""
    assert marlin.settle() == "ok\n"
    assert marlin.now_s == pytest.approx(1.0, abs=0.05)


def test_a_blocking_command_says_that_it_is_busy(marlin: Any) -> None:
    marlin.send("G4 S5\n")
    assert marlin.run(4.5) == "echo:busy: processing\n" * 2
    assert marlin.run(1.0) == "ok\n"


def test_a_pause_waits_for_the_user(marlin: Any) -> None:
    assert marlin.send("M0\n") == ""
    assert marlin.run(2.5) == "echo:busy: paused for user\n"
    assert marlin.send("M108\n") == "ok\nok\n"


def test_m112_acts_at_once_and_only_a_reset_helps(marlin: Any) -> None:
    marlin.send("M3 S200\nG1 X100 F600\nG4 S60\n")
    marlin.run(1.0)
    assert marlin.send("M112\n") == "Error:Printer halted. kill() called!\n"
    assert marlin.record.beam_power == 0
    assert marlin.send("G21\nM105\n") == ""
    marlin.controller.hard_reset(marlin.now_s)
    assert marlin.run(0).startswith("start\n")
    assert marlin.send("G21\n") == "ok\n"


def test_m112_behind_an_unfinished_line_is_not_seen(marlin: Any) -> None:
    marlin.send("G1 X10 M112\n")
    assert not marlin.controller.killed
    marlin.send("G4 S1\nG1 X1")
    marlin.send("\nM112\n")
    assert marlin.controller.killed


def test_m112_with_a_line_number_is_seen(marlin: Any) -> None:
    marlin.send(numbered(1, "M112"))
    assert marlin.controller.killed


def test_a_quick_stop_leaves_the_beam_on(marlin: Any) -> None:
    marlin.send("M3 S200\nG1 X100 F600\nM400\n")
    marlin.run(1.0)
    assert marlin.send("M410\n").startswith("ok\n")
    assert marlin.record.beam_power == 200
    assert marlin.controller.next_event_s() is None
    assert marlin.send("M5\n") == "ok\n"
    assert marlin.record.beam_power == 0


def test_m115_reports_the_capabilities(marlin: Any) -> None:
    answer = marlin.send("M115\n")
    assert answer.startswith("FIRMWARE_NAME:Marlin 2.1.2 ")
    assert "Cap:EMERGENCY_PARSER:1\n" in answer


def test_temperature_and_position_are_reported(marlin: Any) -> None:
    assert marlin.send("M105\n").startswith("ok T:")
    marlin.send("G1 X1.5 Y2 F6000\n")
    assert marlin.send("M114\n").startswith("X:1.50 Y:2.00 Z:0.00 E:0.00")


def test_relative_moves_and_offsets(marlin: Any) -> None:
    marlin.send("G1 X5 F6000\nG92 X0\nG91\nG1 X1\nG1 X1\n")
    assert marlin.send("M114\n").startswith("X:2.00 ")


def test_unknown_commands_are_named_and_acknowledged(marlin: Any) -> None:
    assert marlin.send("M9999\n") == 'echo:Unknown command: "M9999"\nok\n'


def test_numbered_lines_are_taken_in_order(marlin: Any) -> None:
    assert marlin.send(numbered(1, "G21") + numbered(2, "G90")) == "ok\nok\n"
    answer = marlin.send(numbered(5, "G21"))
    expected = "Error:Line Number is not Last Line Number+1, Last Line: 2\nResend: 3\nok\n"
    assert answer == expected


def test_a_wrong_checksum_asks_for_the_line_again(marlin: Any) -> None:
    answer = marlin.send("N1 G21*1\n")
    assert answer == "Error:checksum mismatch, Last Line: 0\nResend: 1\nok\n"
    assert "No Checksum" in marlin.send("N1 G21\n")
    assert marlin.send(numbered(1, "G21")) == "ok\n"


def test_m110_sets_the_line_number(marlin: Any) -> None:
    assert marlin.send(numbered(9, "M110 N41")) == "ok\n"
    assert marlin.send(numbered(42, "G21")) == "ok\n"


def test_queue_and_receive_buffer_are_bounded(marlin: Any) -> None:
    marlin.send("G4 S9\n" + "G4 P0\n" * 3 + "G21\n" * 40)
    assert marlin.record.lost_bytes == 40 * 4 - 127


@settings(deadline=None)
@given(st.sets(st.integers(1, 60)))
def test_how_input_is_split_never_changes_the_outcome(cuts: set[int]) -> None:
    data = b"G21\nM3 S9\nG1 X5 F6000\nG4 P10\nM5\nM114\nM105\nG28\nM0\nM108\n"
    assert _outcome(data, cuts) == _outcome(data, set())


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_leave_a_controller_that_a_reset_revives(data: bytes) -> None:
    controller = MarlinController()
    controller.receive(data, 0.0)
    controller.hard_reset(1.0)
    controller.receive(b"G21\n", 1.0)
    assert controller.advance(1.0).endswith(b"ok\n")


def _outcome(data: bytes, cuts: set[int]) -> tuple[bytes, bytes]:
    controller = MarlinController()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        controller.receive(data[start:end], 0.0)
    return controller.advance(60.0), controller.record.engraving()
