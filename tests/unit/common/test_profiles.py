"""Profiles: real-time bytes, classes of commands, stops, recognition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.common.errors import NotSupportedError
from usbshare.common.profiles import (
    GRBL,
    MARLIN,
    RAW,
    Priority,
    Profile,
    Recogniser,
    Split,
    StopAction,
)


def test_realtime_bytes_leave_a_line_and_the_line_stays_whole() -> None:
    assert GRBL.split(b"G1 X?10!\n") == Split(b"G1 X10\n", b"?!")


def test_a_reset_byte_voids_the_program_before_it() -> None:
    assert GRBL.split(b"G1 X10\n!\x18$X\n?") == Split(b"$X\n", b"!\x18?", reset=True)


@pytest.mark.parametrize("profile", [RAW, MARLIN])
@given(data=st.binary(max_size=300))
def test_profiles_without_realtime_bytes_pass_everything_untouched(
    profile: Profile, data: bytes
) -> None:
    assert profile.split(data) == Split(data)


@given(st.binary(max_size=300))
def test_no_byte_is_lost_or_made_by_a_split(data: bytes) -> None:
    split = GRBL.split(data)
    kept = data[data.rindex(0x18) + 1 :] if split.reset else data
    assert split.program == bytes(b for b in kept if b not in GRBL.realtime)
    assert split.realtime == bytes(b for b in data if b in GRBL.realtime)


@pytest.mark.parametrize(
    ("line", "priority"),
    [
        (b"G0 X1\n", Priority.HIGH),
        (b"g01x1\n", Priority.HIGH),
        (b"N10 G3 X1\n", Priority.HIGH),
        (b"M3 S100\n", Priority.HIGH),
        (b"M112\n", Priority.EMERGENCY),
        (b"G17\n", Priority.NORMAL),
        (b"G38.2 Z-1\n", Priority.NORMAL),
        (b"G1.5\n", Priority.NORMAL),
        (b"M30\n", Priority.NORMAL),
        (b"X10\n", Priority.NORMAL),
        (b"$$\n", Priority.NORMAL),
    ],
)
def test_lines_are_classed_by_what_they_do(line: bytes, priority: Priority) -> None:
    assert GRBL.classify(line) is priority


def test_raw_classes_nothing() -> None:
    assert RAW.classify(b"M112\n") is Priority.NORMAL


@pytest.mark.parametrize(
    ("said", "profile"),
    [
        (b"\r\nGrbl 1.1h ['$' for help]\r\n", GRBL),
        (b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n", GRBL),
        (b"start\necho:Marlin 2.1.2\n", MARLIN),
        (b"FIRMWARE_NAME:Marlin 2.1.2 (Github)\n", MARLIN),
    ],
)
@given(data=st.data())
def test_firmware_is_recognised_however_its_words_are_split(
    said: bytes, profile: Profile, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=5)))
    recogniser = Recogniser()
    pieces = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    found = [recogniser.feed(piece) for piece in pieces]
    assert profile in found


@given(st.binary(max_size=2000))
def test_noise_is_never_taken_for_a_firmware_unless_it_says_so(noise: bytes) -> None:
    quiet = noise.replace(b"Grbl", b"").replace(b"Marlin", b"").replace(b"<", b"")
    assert Recogniser().feed(quiet) is None


def test_a_profile_without_a_stop_says_where_to_set_one() -> None:
    with pytest.raises(NotSupportedError, match=r"profile 'raw' has no bytes for 'hold'.*stop"):
        RAW.stop_plan(StopAction.HOLD)


@pytest.mark.parametrize(
    ("profile", "action", "data", "flush", "own_line"),
    [
        (GRBL, StopAction.HOLD, b"!", False, False),
        (GRBL, StopAction.SAFETY_DOOR, b"\x84", False, False),
        (GRBL, StopAction.RESUME, b"~", False, False),
        (GRBL, StopAction.EMERGENCY_STOP, b"\x18", True, False),
        (MARLIN, StopAction.EMERGENCY_STOP, b"M112\n", True, True),
        (MARLIN, StopAction.HOLD, b"M410\n", False, True),
    ],
)
def test_stops_are_those_of_the_design(
    profile: Profile, action: StopAction, data: bytes, flush: bool, own_line: bool
) -> None:
    plan = profile.stop_plan(action)
    assert (plan.data, plan.flush, plan.own_line) == (data, flush, own_line)
