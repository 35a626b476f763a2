"""Messages and the domain: limits of what clients send, and a frame's bytes."""

from __future__ import annotations

import math

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError, NotSupportedError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.capture.frame_source import ControlChange
from usbshare.camera_svc.picture import h264
from usbshare.camera_svc.picture.frame import Picture, Stamp
from usbshare.camera_svc.viewers.viewer import View
from usbshare.line.profiles import Priority


def picture(data: bytes = b"jpeg", **fields: float) -> Picture:
    return Picture(7, Stamp(1_700_000_000.25, 123), 640, 480, data, quality=60, **fields)  # type: ignore[arg-type]


def test_fields_missing_from_an_open_are_the_services_choice() -> None:
    assert convert.asked(pb.Open()) == convert.Asked("", View(), 0, "")


def test_an_open_is_taken_as_it_is() -> None:
    view = pb.View(width_px=640, fps=10, quality=50, priority=pb.PRIORITY_HIGH, is_fixed=True)
    asked = convert.asked(pb.Open(camera_id="bed", view=view, window=2, client_name="me@pc"))
    expected = View(640, 10, 50, priority=Priority.HIGH, is_fixed=True)
    assert asked == convert.Asked("bed", expected, 2, "me@pc")


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (pb.Open(window=4), "open.window is 4; 0 to 3 are allowed"),
        (pb.Open(client_name="x" * 65), "open.client_name must be at most 64 printable bytes"),
        (pb.Open(client_name="a\x1b[2J"), "open.client_name must be at most 64 printable bytes"),
        (pb.Open(view=pb.View(width_px=16385)), "open.view.width_px is 16385; 0 to 16384"),
        (pb.Open(view=pb.View(quality=101)), "open.view.quality is 101; 0 to 100"),
        (pb.Open(view=pb.View(fps=241)), "open.view.fps is 241; 0 to 240"),
        (pb.Open(view=pb.View(fps=-1)), "open.view.fps is -1"),
        (pb.Open(view=pb.View(fps=math.nan)), "open.view.fps is nan"),
        (pb.Open(view=pb.View(priority=9)), "open.view.priority is 9; accepted: PRIORITY_UN"),  # type: ignore[arg-type]
        (pb.Open(view=pb.View(format=9)), "open.view.format is 9; accepted: FORMAT_UN"),  # type: ignore[arg-type]
    ],
)
def test_a_field_out_of_range_is_named(message: pb.Open, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        convert.asked(message)
    assert complaint in str(caught.value)


def test_a_format_without_encoder_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "_LIBRARY", "no_such_library")
    with pytest.raises(NotSupportedError, match="no H264 encoder"):
        convert.view(pb.View(format=pb.FORMAT_H264))


def test_a_snapshot_may_be_a_second_old_unless_it_says_otherwise() -> None:
    assert convert.asked_picture(pb.SnapshotRequest()).max_age_s == 1.0
    asked = pb.SnapshotRequest(max_age=Duration(seconds=5))
    assert convert.asked_picture(asked).max_age_s == 5.0
    with pytest.raises(InvalidArgumentError, match="max_age"):
        convert.asked_picture(pb.SnapshotRequest(max_age=Duration(seconds=-1)))


def test_a_change_that_is_left_out_differs_from_zero() -> None:
    messages = [
        pb.ControlChange(name="gain", value=0),
        pb.ControlChange(name="focus", automatic=False),
    ]
    assert convert.control_changes(messages) == (
        ControlChange("gain", value=0.0),
        ControlChange("focus", automatic=False),
    )


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [pb.ControlChange(name="gain")],
        [pb.ControlChange(name="gain", value=math.inf)],
        [pb.ControlChange(name="gain", value=1)] * 17,
    ],
)
def test_changes_that_say_nothing_or_too_much_are_refused(
    messages: list[pb.ControlChange],
) -> None:
    with pytest.raises(InvalidArgumentError, match="changes"):
        convert.control_changes(messages)


def test_a_frame_reports_all_of_its_times() -> None:
    frame = convert.frame_message(picture(wait_s=0.001, encode_s=0.0025))
    assert (frame.sequence, frame.width_px, frame.height_px, frame.quality) == (7, 640, 480, 60)
    assert frame.capture_time.ToNanoseconds() == 1_700_000_000_250_000_000
    assert frame.capture_monotonic_ns == 123
    assert frame.wait_delay.ToNanoseconds() == 1_000_000
    assert frame.encode_delay.ToNanoseconds() == 2_500_000
    assert not frame.is_placeholder


@given(
    st.binary(max_size=300),
    st.floats(0, 1000),
    st.integers(0, 2**32 - 1),
    st.floats(0, 240),
)
def test_a_delivery_appended_to_a_frames_bytes_is_beside_the_frame(
    data: bytes, delay_s: float, dropped: int, fps: float
) -> None:
    whole = convert.frame_bytes(picture(data)) + convert.delivery_bytes(delay_s, dropped, fps)
    response = pb.WatchResponse.FromString(whole)
    assert response.frame == convert.frame_message(picture(data))
    assert response.delivery.dropped_frames == dropped
    assert response.delivery.fps == fps
    assert abs(response.delivery.send_delay.ToNanoseconds() / 1e9 - delay_s) < 1e-6


def test_a_clock_that_is_ahead_makes_no_negative_delay() -> None:
    response = pb.WatchResponse.FromString(convert.delivery_bytes(-1.0, 0, 0.0))
    assert response.delivery.send_delay == Duration()
