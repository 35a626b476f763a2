"""The last reports of a machine, with what they say only now and then."""

from __future__ import annotations

import itertools
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.profiles import GRBL, GRBLHAL, MARLIN, Profile
from usbshare.serial_svc.stop.activity import Activity
from usbshare.serial_svc.stop.last_reports import LastReports

OFFSET = b"<Idle|MPos:5.000,5.000,0.000|FS:0,0|WCO:1.000,2.000,0.000>"
OVERRIDES = b"<Run|MPos:5.000,5.000,0.000|FS:0,0|Ov:110,100,100|A:S>"
OVERRIDES_ONLY = b"<Run|MPos:5.000,5.000,0.000|FS:0,0|Ov:100,100,100>"
PLAIN = b"<Run|MPos:6.000,7.000,0.000|FS:500,100>"


def reports_of(*reports: bytes) -> LastReports:
    last = LastReports()
    for at, report in enumerate(reports):
        last.reported(report, float(at))
    return last


def test_offset_and_overrides_are_kept_beyond_the_report_that_had_them() -> None:
    report = reports_of(OFFSET, OVERRIDES, PLAIN).parsed(GRBL)
    assert report is not None
    assert report.work_position == (5.0, 5.0, 0.0)
    assert report.overrides is not None
    assert (report.overrides.feed, report.accessories, report.spindle) == (110, "S", 100.0)


def test_grbl_says_by_leaving_them_out_that_its_accessories_are_off() -> None:
    last = reports_of(OVERRIDES, OVERRIDES_ONLY, PLAIN)
    for profile, accessories in ((GRBL, ""), (GRBLHAL, "S")):
        report = last.parsed(profile)
        assert report is not None
        assert report.accessories == accessories


def test_nothing_is_known_before_the_first_and_after_the_machine_went() -> None:
    last = LastReports()
    assert (last.parsed(GRBL), last.begun_at) == (None, -inf)
    last.reported(PLAIN, 1.0)
    last.forget()
    assert (last.parsed(GRBL), last.begun_at) == (None, -inf)


def heard(profile: Profile, *chunks: bytes) -> LastReports:
    activity = Activity(lambda _: None, profile=lambda: profile)
    for at, chunk in enumerate(chunks):
        activity.heard(chunk, float(at), nothing_waits=True)
    return activity.reports


MARLIN_ANSWER = b"X:1.00 Y:2.00 Z:3.00 E:0.00 Count X:80 Y:160 Z:1200\n"


@given(st.lists(st.integers(0, 2 * len(MARLIN_ANSWER)), max_size=6))
def test_an_answer_to_m114_is_found_however_it_is_cut(cuts: list[int]) -> None:
    text = b"ok T:20.0 /0.0 @:0\n" + MARLIN_ANSWER + b"ok\n"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    report = heard(MARLIN, *chunks).parsed(MARLIN)
    assert report is not None
    assert report.work_position == (1.0, 2.0, 3.0)


@given(st.lists(st.integers(0, len(PLAIN)), max_size=4))
def test_a_report_is_kept_whole_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PLAIN)]
    chunks = [PLAIN[a:b] for a, b in itertools.pairwise(edges)]
    report = heard(GRBL, *chunks, b"\r\nok\r\n").parsed(GRBL)
    assert report is not None
    assert report.text == PLAIN.decode()
