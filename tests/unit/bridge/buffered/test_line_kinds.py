"""What may be answered early: motion and its modes, and nothing that asks or changes state."""

from __future__ import annotations

import pytest

from usbshare.bridge.buffered.line_kinds import may_answer_early

EARLY = [
    b"G1 X10 Y-3.5 S200",
    b"g1x10y.5",
    b"G00X0",
    b"G02 X1 Y1 I.5 J0 F800",
    b"X10",
    b"S0",
    b"M3 S0",
    b"M05",
    b"G21 G90 (millimetres)",
    b"; a comment",
    b"",
    b"   ",
    b"N12 G1 X1",
    b"G91.1",
]
OWN = [
    b"$J=G91 X1 F100",
    b"$$",
    b"$H",
    b"$X",
    b"?",
    b"G4 P0.5",
    b"G04 P1",
    b"G38.2 Z-5 F50",
    b"G28",
    b"G28.1",
    b"G30",
    b"G10 L20 P1 X0",
    b"G54",
    b"G92 X0",
    b"G43.1 Z1",
    b"G53 G0 X0",
    b"M0",
    b"M1",
    b"M2",
    b"M30",
    b"M6 T1",
    b"G1 X10 M0",
    b"G1 X",
    b"G1 X1 Q2",
    b"hello",
    b"G1 X1 $H",
    b"\xff",
]


@pytest.mark.parametrize("line", EARLY)
def test_motion_and_its_modes_may_be_answered_early(line: bytes) -> None:
    assert may_answer_early(line)


@pytest.mark.parametrize("line", OWN)
def test_a_line_that_asks_waits_or_is_unknown_is_not_answered_early(line: bytes) -> None:
    assert not may_answer_early(line)
