"""Whatever a device says of itself, in whatever pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.machine_report import MOST_AXES, MOST_REPORT_BYTES, MachineReport
from usbshare.line.profiles import GRBL, GRBLHAL, MARLIN, Profile
from usbshare.serial_svc.stop.activity import Activity

tokens = st.sampled_from(
    [
        b"<",
        b">",
        b"<Idle|",
        b"<Run,",
        b"|MPos:",
        b",WPos:",
        b"|WCO:",
        b"|Ov:",
        b"|A:",
        b"|Pn:",
        b"1.0,",
        b"-2,",
        b"nan",
        b"1e999",
        b"\xff",
        b"\n",
        b"X:1.0 Y:2.0",
        b" Count X:",
        b"ok\r\n",
    ]
)
streams = st.lists(st.one_of(tokens, st.binary(max_size=30)), max_size=60).map(b"".join)
cuts = st.lists(st.integers(0, 600), max_size=12)


def is_sane(report: MachineReport) -> bool:
    positions = (report.machine_position, report.work_position, report.work_offset)
    texts = report.pins + (report.accessories or "")
    return (
        all(len(each) <= MOST_AXES for each in positions)
        and len(report.text) <= MOST_REPORT_BYTES
        and (texts.isascii() and texts.isalnum() if texts else True)
    )


@given(streams, cuts, st.sampled_from([GRBL, GRBLHAL, MARLIN]))
def test_any_bytes_are_a_valid_report_or_none(data: bytes, at: list[int], profile: Profile) -> None:
    activity = Activity(lambda _: None, profile=lambda: profile)
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    for number, (start, end) in enumerate(pairwise(edges)):
        activity.heard(data[start:end], float(number), nothing_waits=True)
        report = activity.reports.parsed(profile)
        assert report is None or is_sane(report)
