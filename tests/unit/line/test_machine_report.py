"""Reports of real firmwares say what they say, whatever is missing in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.machine_report import (
    MachineReport,
    Overrides,
    parse_position,
    parse_report,
    position_answer,
)

# gnea/grbl doc/markdown/interface.md and, with every field, cncjs Grbl controller's examples.
GRBL = b"<Idle|MPos:0.000,0.000,0.000|FS:0.0,0>"
GRBL_FULL = (
    b"<Hold:0|MPos:3.000,2.000,0.000|Bf:15,128|Ln:99999|FS:675.5,24000|Pn:XYZPDHRS"
    b"|WCO:0.000,-5.200,306.351>"
)
GRBL_OVERRIDES = b"<Run|MPos:1.000,2.000,3.000|FS:500,8000|Ov:120,50,90|A:SFM>"
GRBL_WORK = b"<Jog|WPos:1.500,-2.000,0.250|Bf:14,127|F:3000>"
# grblHAL: its answer to 0x87, as a pendant (a program on public GitHub) was sent it.
GRBLHAL = (
    b"<Idle|MPos:30.000,0.000,0.000|Bf:35,1023|FS:0,0,0|Pn:HS|WCO:0.000,0.000,0.000|WCS:G54|A:|Sc:"
    b"|MPG:1|H:0|T:0|TLR:0|Sl:0.0|FW:grblHAL>"
)
# FluidNC: Report.cpp, while it runs a file of its card on four axes.
FLUIDNC = b"<Run|MPos:1.000,2.000,3.000,4.000|FS:1200,300|Pn:PXA|SD:12.34,/square.nc>"
# grbl/grbl wiki, Interfacing with Grbl; the second as a fork with a laser says it.
GRBL09 = b"<Idle,MPos:5.529,0.560,7.000,WPos:1.529,-5.440,-0.000>"
GRBL09_FULL = (
    b"<Run,MPos:-1.000,-1.000,0.000,WPos:507.000,390.000,0.000,Buf:3,RX:12,Ln:7,F:500.,limits:"
    b",laser off:0>"
)
# Smoothieware Robot.cpp.
SMOOTHIE = b"<Run|MPos:1.0000,2.0000,3.0000|WPos:0.0000,1.0000,2.0000|F:3000.0,1500.0,100.0|S:0.8>"
MARLIN = b"X:0.00 Y:127.20 Z:145.14 E:0.00 Count X: 0 Y:10160 Z:116000"


def said(report: bytes, offset: bytes = b"", overrides: bytes = b"") -> MachineReport:
    found = parse_report(report, offset or report, overrides or report, overrides or report)
    assert found is not None
    return found


def test_grbl_says_where_it_is_and_what_it_does() -> None:
    report = said(GRBL)
    assert (report.state, report.substate) == ("Idle", None)
    assert report.machine_position == (0.0, 0.0, 0.0)
    assert (report.feed, report.spindle) == (0.0, 0.0)
    assert report.work_position == ()  # no offset was ever told
    assert (report.overrides, report.free_blocks, report.line) == (None, None, None)


def test_every_field_of_grbl_is_read() -> None:
    report = said(GRBL_FULL)
    assert (report.state, report.substate) == ("Hold", 0)
    assert report.work_offset == (0.0, -5.2, 306.351)
    assert report.work_position == (3.0, 7.2, -306.351)
    assert (report.free_blocks, report.free_bytes, report.line) == (15, 128, 99999)
    assert (report.feed, report.spindle, report.pins) == (675.5, 24000.0, "XYZPDHRS")
    assert report.text == GRBL_FULL.decode()


def test_fields_sent_rarely_are_taken_from_the_last_report_that_had_them() -> None:
    report = said(GRBL, offset=GRBL_FULL, overrides=GRBL_OVERRIDES)
    assert report.work_position == (0.0, 5.2, -306.351)
    assert report.overrides == Overrides(120, 50, 90)
    assert report.accessories == "SFM"


def test_a_work_position_gives_the_machines() -> None:
    report = said(GRBL_WORK, offset=GRBL_FULL)
    assert report.work_position == (1.5, -2.0, 0.25)
    assert report.machine_position == (1.5, -7.2, 306.601)
    assert (report.feed, report.spindle) == (3000.0, None)


def test_grblhal_says_more_and_nothing_of_it_disturbs() -> None:
    report = said(GRBLHAL)
    assert report.machine_position == report.work_position == (30.0, 0.0, 0.0)
    assert (report.free_blocks, report.free_bytes) == (35, 1023)
    assert (report.feed, report.spindle, report.pins, report.accessories) == (0.0, 0.0, "HS", "")


def test_fluidnc_has_more_axes_and_its_own_file() -> None:
    report = said(FLUIDNC)
    assert report.machine_position == (1.0, 2.0, 3.0, 4.0)
    assert (report.feed, report.spindle, report.pins) == (1200.0, 300.0, "PXA")


def test_grbl_09_separates_by_commas() -> None:
    report = said(GRBL09)
    assert report.state == "Idle"
    assert report.machine_position == (5.529, 0.56, 7.0)
    assert report.work_position == (1.529, -5.44, -0.0)
    full = said(GRBL09_FULL)
    assert full.work_position == (507.0, 390.0, 0.0)
    assert (full.line, full.feed) == (7, 500.0)
    assert (full.free_blocks, full.free_bytes) == (None, None)  # it counts what is in use


def test_smoothie_reports_both_positions() -> None:
    report = said(SMOOTHIE)
    assert report.machine_position == (1.0, 2.0, 3.0)
    assert report.work_position == (0.0, 1.0, 2.0)
    assert (report.feed, report.spindle) == (3000.0, 0.8)


@pytest.mark.parametrize(
    ("answer", "position"),
    [
        (MARLIN, (0.0, 127.2, 145.14)),
        (b"X:1.50 Y:-2.25 Z:0.00 Count X:120 Y:-180 Z:0", (1.5, -2.25, 0.0)),
        # RepRapFirmware and Klipper.
        (b"X:10.000 Y:20.000 Z:5.000 E:0.000 E0:0.0 Count 0 0 0 Machine 1.0 2.0 3.0",
         (10.0, 20.0, 5.0)),
        (b"X:10.000000 Y:20.000000 Z:5.000000 E:0.000000", (10.0, 20.0, 5.0)),
    ],
)  # fmt: skip
def test_marlin_answers_m114_with_the_position(answer: bytes, position: tuple[float, ...]) -> None:
    assert position_answer(b"ok\n" + answer + b"\nok\n") == answer
    report = parse_position(answer)
    assert report is not None
    assert (report.work_position, report.state) == (position, "")


def test_temperatures_are_no_position() -> None:
    assert position_answer(b"ok T:21.3 /0.0 B:20.9 /0.0 @:0 B@:0\n") == b""


@pytest.mark.parametrize(
    "report", [b"", b"<>", b"<|MPos:0>", b"ok", b"<" + b"x" * 5000 + b" ", b"<Idle MPos:1>"]
)
def test_bytes_that_are_not_a_report_say_nothing(report: bytes) -> None:
    assert parse_report(report) is None


@pytest.mark.parametrize(
    "field", ["MPos:", "MPos:a,b", "MPos:nan,0,0", "MPos:1e999,0,0", "Bf:", "Bf:-1,x", "Ln:1.5",
              "Ov:1,2", "Ov:100,100,100,100", "Pn:\x1b[2J", "FS:inf,nan", "Ln:" + "9" * 200],
)  # fmt: skip
def test_a_broken_field_is_left_out(field: str) -> None:
    report = said(f"<Idle|{field}>".encode())
    assert report.state == "Idle"
    assert not report.machine_position
    assert report.pins in ("", "2J")
    assert (report.free_blocks, report.line, report.overrides) == (None, None, None)
    assert (report.feed, report.spindle) == (None, None)


@given(st.binary(max_size=600), st.binary(max_size=100))
def test_no_bytes_break_it(report: bytes, other: bytes) -> None:
    for data in (report, b"<Idle|" + report + b">"):
        parse_report(data, b"<Idle|WCO:" + other + b">", b"<Idle|Ov:" + other + b">", other)
        parse_position(position_answer(data))
