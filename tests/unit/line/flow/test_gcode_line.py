"""Lines as GRBL reads them."""

from __future__ import annotations

import pytest

from usbshare.line.flow.character_counting import build_buffer_bytes, idle_buffer_bytes, rules_of
from usbshare.line.flow.gcode_line import (
    bare,
    dwell_s,
    goes_alone,
    is_one_line,
    marlin_dwell_s,
)
from usbshare.line.flow.numbered_lines import FIRST, answered_number, asked_number, numbered
from usbshare.line.profiles import AUTO, GCODE, GRBL, GRBL09, MARLIN, RAW, SMOOTHIE


@pytest.mark.parametrize("line", [b"\n", b"G0 X1\n", b"G0 X1\r\n", b"; a comment\n"])
def test_one_line(line: bytes) -> None:
    assert is_one_line(line)


@pytest.mark.parametrize("data", [b"G0", b"G0\r", b"G0\nG1\n", b"G\rG1\n", b"\n\n", b"\r\r\n"])
def test_not_one_line(data: bytes) -> None:
    assert not is_one_line(data)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"g0 x1 (to the left) y2 ; and up\n", b"G0X1Y2"),
        (b"(never closed G1\n", b""),
        (b"; (a comment)\r\n", b""),
        (b"/G1 X1\n", b"G1X1"),
    ],
)
def test_blanks_and_comments_are_skipped(line: bytes, words: bytes) -> None:
    assert bare(line) == words


@pytest.mark.parametrize(
    "line",
    [
        *(b"$10=2\n", b"$$\n", b"$N0=G20\n", b"$RST=*\n", b"$H\n", b"$X\n", b" $ I\n"),
        *(b"G10 L2 P1 X0\n", b"G10L20P1\n", b"G28.1\n", b"g 30.1\n", b"N10 G54\n", b"G059.3\n"),
        b"G90 G55 G0 X1\n",
    ],
)
def test_lines_that_go_alone(line: bytes) -> None:
    assert goes_alone(line)


@pytest.mark.parametrize(
    "line",
    [
        *(b"G0 X10\n", b"G1 X54 Y10\n", b"G28\n", b"G30 Z1\n", b"G100\n", b"$J=G91 X1 F100\n"),
        *(b"(G10)\n", b"; $10=1\n", b"\n", b"G53 G0 X0\n", b"G1 X28.1\n"),
    ],
)
def test_lines_that_need_not(line: bytes) -> None:
    assert not goes_alone(line)


def test_a_dwell_says_how_long_it_takes() -> None:
    assert dwell_s(b"G4 P2.5\n") == 2.5
    assert dwell_s(b"G04P.5\n") == 0.5
    assert dwell_s(b"G43 P2\n") == 0.0
    assert dwell_s(b"G1 X4\n") == 0.0


def test_a_number_and_a_checksum() -> None:
    assert numbered(FIRST, 0) == b"N0 M110 N0*125\n"
    # reprap.org/wiki/G-code: the XOR of all before the asterisk.
    assert numbered(b"T0 ; tool\n", 3) == b"N3 T0*57\n"
    assert asked_number(b"Resend: 12") == 12
    assert asked_number(b"rs N12") == 12
    assert asked_number(b"Resend:") is None
    assert answered_number(b"ok N7 P15 B3") == 7
    assert answered_number(b"ok T:22") is None


def test_the_buffer_size_that_firmware_reports_is_read() -> None:
    assert build_buffer_bytes(b"[OPT:VNM,15,128]") == 128
    assert build_buffer_bytes(b"[OPT:VNMSL+,35,1024,3,0]") == 1024
    assert build_buffer_bytes(b"[OPT:PHS]") is None
    assert build_buffer_bytes(b"[OPT:V,15,99999999]") is None
    assert idle_buffer_bytes(b"<Idle|MPos:0,0,0|Bf:15,128|FS:0,0>") == 128
    assert idle_buffer_bytes(b"<Run|MPos:0,0,0|Bf:3,20|FS:0,0>") is None
    assert idle_buffer_bytes(b"<Idle|MPos:0,0,0>") is None


def test_the_profiles_that_reply_to_each_line() -> None:
    assert [bool(rules_of(each)) for each in (GRBL, GRBL09, MARLIN)] == [True] * 3
    assert [rules_of(each) for each in (RAW, AUTO, GCODE, SMOOTHIE)] == [None] * 4


@pytest.mark.parametrize(
    ("line", "seconds"),
    [(b"G4 P500", 0.5), (b"G4 S10", 10.0), (b"G4 S1 P500", 1.0), (b"G1 S10", 0.0), (b"G4", 0.0)],
)
def test_marlin_counts_p_in_milliseconds_and_s_in_seconds(line: bytes, seconds: float) -> None:
    assert marlin_dwell_s(line + b"\n") == seconds
