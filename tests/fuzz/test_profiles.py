"""Whatever bytes come, in whatever pieces: the splitter, the classes, the recognition."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.profiles import BY_NAME, GRBL, Priority, Profile
from usbshare.line.recognition import Recogniser

LARGEST_COMMAND_BYTES = 4096
profiles = st.sampled_from(sorted(BY_NAME.values(), key=lambda profile: profile.name))
gcode = st.sampled_from(
    [b"G1 X10\n", b"M112\n", b" m112 ;x\r\n", b"N7 M112*35\n", b"M410\n", b"G4P0", b"\r", b"\n"]
)
banners = st.sampled_from(
    [b"Grbl 1.1h ['$' for help]\r\n", b"<Idle|MPos:0,0,0>\n", b"echo:Marlin 2.1\n", b"ok\r\n"]
)
realtime = st.sampled_from([b"!", b"~", b"?", b"\x18", b"\x84", b"\x90", b"\xa1"])
streams = st.lists(st.one_of(gcode, banners, realtime, st.binary(max_size=40)), max_size=20).map(
    b"".join
)
cuts = st.lists(st.integers(0, 400), max_size=12)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def is_subsequence(part: bytes, whole: bytes) -> bool:
    rest = iter(whole)
    return all(byte in rest for byte in part)


@given(profile=profiles, data=streams, at_line_start=st.booleans())
def test_nothing_is_made_up_and_without_a_reset_nothing_is_lost(
    profile: Profile, data: bytes, *, at_line_start: bool
) -> None:
    split = profile.split(data, at_line_start)
    assert is_subsequence(split.program, data)
    assert profile.is_realtime(split.realtime)
    if not split.realtime:
        assert (split.program, split.reset) == (data, False)
    if profile.urgent_lines or split.reset:
        return
    assert len(split.program) + len(split.realtime) == len(data)
    assert is_subsequence(split.realtime, data)


@given(data=streams, at=cuts)
def test_realtime_bytes_are_found_however_the_bytes_are_cut(data: bytes, at: list[int]) -> None:
    program, found = b"", b""
    for piece in pieces(data, at):
        split = GRBL.split(piece)
        program = split.program if split.reset else program + split.program
        found += split.realtime
    whole = GRBL.split(data)
    assert (program, found) == (whole.program, whole.realtime)


@given(profile=profiles, data=st.one_of(streams, st.binary(max_size=LARGEST_COMMAND_BYTES)))
def test_every_command_has_a_class(profile: Profile, data: bytes) -> None:
    assert profile.classify(data[:LARGEST_COMMAND_BYTES]) in Priority


@given(letter=st.sampled_from([b"G", b"M", b"N"]), digits=st.integers(1, 4090))
def test_a_command_of_digits_has_a_class(letter: bytes, digits: int) -> None:
    for profile in BY_NAME.values():
        assert profile.classify(letter + b"1" * digits + b"\n") in Priority


def recognised(parts: list[bytes]) -> Profile | None:
    recogniser, last = Recogniser(), None
    for part in parts:
        last = recogniser.feed(part) or last
    return last


@given(data=streams, at=cuts)
def test_firmware_is_recognised_however_its_bytes_are_cut(data: bytes, at: list[int]) -> None:
    assert recognised(pieces(data, at)) is recognised([data])


@given(noise=st.lists(st.binary(max_size=600), max_size=20))
def test_a_firmware_is_recognised_after_any_noise(noise: list[bytes]) -> None:
    recogniser = Recogniser()
    if not any(recogniser.feed(data) for data in noise):
        assert recogniser.feed(b"\nGrbl 1.1h\r\n") is GRBL
