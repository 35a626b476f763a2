"""Profiles: real-time bytes, classes of commands, stops, recognition."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.errors import NotSupportedError
from usbshare.line.profiles import (
    GRBL,
    MARLIN,
    RAW,
    Priority,
    Profile,
    Split,
    StopAction,
)


def test_realtime_bytes_leave_a_line_and_the_line_stays_whole() -> None:
    assert GRBL.split(b"G1 X?10!\n") == Split(b"G1 X10\n", b"?!")


def test_a_reset_byte_voids_the_program_before_it() -> None:
    assert GRBL.split(b"G1 X10\n!\x18$X\n?") == Split(b"$X\n", b"!\x18?", reset=True)


_LINES = st.lists(
    st.one_of(
        st.sampled_from([b"M112", b"m112", b"N7 M112*35", b"M410", b" m108 ", b"M108;go", b"!~?"]),
        st.sampled_from([b"G1 X112", b"M1125", b"M11", b"G4 M112", b"N8 M410", b"", b"M112 P1"]),
        st.binary(max_size=6),
    ).flatmap(lambda text: st.sampled_from([text + b"\n", text + b"\r\n", text])),
    max_size=12,
).map(b"".join)


@given(data=_LINES, at_line_start=st.booleans())
def test_raw_passes_everything_untouched(data: bytes, at_line_start: bool) -> None:
    assert RAW.split(data, at_line_start) == Split(data)
    assert not RAW.has_urgent(data)


@given(data=_LINES, at_line_start=st.booleans())
def test_lines_mean_nothing_to_a_profile_of_bytes(data: bytes, at_line_start: bool) -> None:
    assert GRBL.split(data, at_line_start) == GRBL.split(data)
    assert GRBL.has_urgent(data) is GRBL.has_realtime(data)


def urgent_word(line: bytes) -> bytes:
    """Return the urgent word that a line of Marlin's is, by plain string work."""
    text = line.rstrip(b"\n").removesuffix(b"\r").partition(b";")[0].strip(b" \t").upper()
    if text in {b"M112", b"M410", b"M108"}:
        return text
    number, _, rest = text.partition(b"M112")
    is_numbered = number[:1] == b"N" and number[1:].rstrip(b" \t").isdigit()
    star, checksum = rest.lstrip(b" \t")[:1], rest.lstrip(b" \t")[1:].strip(b" \t")
    is_summed = not rest.strip(b" \t") or (star == b"*" and checksum.isdigit())
    return b"M112" if is_numbered and is_summed and b"M112" in text else b""


def taken_apart(data: bytes, at_line_start: bool) -> Split:
    """Do what a profile of urgent lines promises, a line at a time."""
    program, realtime, reset = b"", b"", False
    for line in lines_of(data):
        word = urgent_word(line) if at_line_start and line.endswith(b"\n") else b""
        at_line_start = True
        if word == b"M112":
            program, reset = b"", True
        elif not word:
            program += line
        realtime += word + b"\n" if word else b""
    return Split(program, realtime, reset)


def lines_of(data: bytes) -> list[bytes]:
    return [line for line in re.findall(rb"[^\n]*\n?", data) if line]


@given(data=_LINES, at_line_start=st.booleans())
def test_urgent_lines_alone_leave_a_marlin_program_and_nothing_is_lost_or_reordered(
    data: bytes, at_line_start: bool
) -> None:
    split = MARLIN.split(data, at_line_start)
    assert split == taken_apart(data, at_line_start)
    assert MARLIN.has_urgent(data) or not split.realtime
    assert MARLIN.is_realtime(split.realtime)
    assert MARLIN.resets(split.realtime) is split.reset
    assert b"".join(MARLIN.pieces(split.realtime, 64)) == split.realtime


@given(data=_LINES, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_pieces_of_a_marlin_command_stay_in_the_program_and_none_is_lost(
    data: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    program, realtime, begins, reset = b"", b"", True, False
    for start, end in pairwise(edges):
        split = MARLIN.split(data[start:end], begins)
        program = split.program if split.reset else program + split.program
        realtime, reset = realtime + split.realtime, reset or split.reset
        begins = data[start:end].endswith(b"\n")
    whole, rest = MARLIN.split(data), MARLIN.split(program)
    assert rest.program == whole.program
    if not reset:  # else a line that was cut is void with the rest
        assert sorted(lines_of(realtime + rest.realtime)) == sorted(lines_of(whole.realtime))


def test_an_urgent_line_is_taken_only_where_all_of_it_is_there() -> None:
    assert MARLIN.split(b"G1\nM112") == Split(b"G1\nM112")
    assert MARLIN.split(b"M112\nM410\n", at_line_start=False) == Split(b"M112\n", b"M410\n")
    assert MARLIN.split(b"M1") == Split(b"M1")
    assert MARLIN.split(b"12\n", at_line_start=False) == Split(b"12\n")


def test_lines_that_only_begin_like_an_urgent_one_stay() -> None:
    program = b"M1125\nM112.5\nG1 M112\nN4 M410*9\nM112 P1\nM 112\nM0112\n"
    assert MARLIN.split(program) == Split(program)


@pytest.mark.parametrize("line", [b"M112\n", b"m112\r\n", b" N12 M112 *33\r\n", b"M112 ; now\n"])
def test_a_marlin_reset_line_voids_the_program_before_it(line: bytes) -> None:
    assert MARLIN.split(b"G1 X1\nM108\n" + line + b"M115\n") == Split(
        b"M115\n", b"M108\nM112\n", reset=True
    )


def test_a_line_of_blanks_takes_no_time() -> None:
    blanks = b"M112" + b" " * 100_000
    assert MARLIN.split(blanks * 3) == Split(blanks * 3)


@pytest.mark.parametrize(
    ("profile", "data", "is_realtime", "is_emergency"),
    [
        (GRBL, b"!\x18", True, True),
        (GRBL, b"!~", True, False),
        (GRBL, b"M112\n", False, False),
        (MARLIN, b"M112\n", True, True),
        (MARLIN, b"M410\nM112\n", True, True),
        (MARLIN, b"M108\n", True, False),
        (MARLIN, b"M112", False, False),
        (MARLIN, b"M112\nG1\n", False, False),
        (MARLIN, b"!", False, False),
        (RAW, b"!", False, False),
    ],
)
def test_commands_that_overtake_a_program_are_recorded(
    profile: Profile, data: bytes, is_realtime: bool, is_emergency: bool
) -> None:
    assert profile.is_realtime(data) is is_realtime
    assert profile.is_emergency(data) is is_emergency


def test_pieces_for_messages_cut_no_line() -> None:
    assert MARLIN.pieces(b"M410\nM112\n", 6) == [b"M410\n", b"M112\n"]
    assert GRBL.pieces(b"!!!?", 3) == [b"!!!", b"?"]


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
