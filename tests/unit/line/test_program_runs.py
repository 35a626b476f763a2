"""An upload passes byte for byte, however it comes in pieces; a stop in G-code is always seen."""

from __future__ import annotations

import binascii
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.profiles import AUTO, GRBL, GRBLHAL, MARLIN, RAW, SMOOTHIE, Profile, Split
from usbshare.line.program_runs import LEAST_GCODE_BYTES, QUIET_S, ProgramRuns, Untouched

GCODE = b"G1 X10.5 Y-3 F600 S200\n"
BYTE_PROFILES = st.sampled_from([GRBL, GRBLHAL, SMOOTHIE])
PROFILES = st.sampled_from([GRBL, GRBLHAL, SMOOTHIE, MARLIN])
# What uploads carry: anything, firmware's own text, and G-code with every urgent byte in it.
PAYLOADS = st.one_of(
    st.binary(max_size=1024),
    st.lists(
        st.sampled_from([GCODE, b"; hello! what? ~\n", b"M112\n", b"\x18!?~\x84"]), max_size=40
    ).map(lambda lines: b"".join(lines)[:1024]),
    st.text(max_size=200).map(str.encode),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def xmodem(payload: bytes, number: int, size: int) -> bytes:
    """Return a block as the protocol has it (SOH or STX, number, its complement, data, CRC)."""
    data = payload[:size].ljust(size, b"\x1a")
    header = bytes((1 if size == 128 else 2, number & 255, 255 - (number & 255)))
    return header + data + binascii.crc_hqx(data, 0).to_bytes(2, "big")


def slip(payload: bytes, operation: int) -> bytes:
    """Return a request of esptool's serial protocol: direction 0, operation, size, checksum."""
    body = bytes((0, operation)) + len(payload).to_bytes(2, "little") + bytes(4) + payload
    return b"\xc0" + body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def stk500(payload: bytes) -> bytes:
    """Return a page as avrdude's `arduino` programmer writes it: Cmnd_STK_PROG_PAGE 0x64."""
    page = payload[:128]
    return b"\x64" + len(page).to_bytes(2, "big") + b"F" + page + b" "


UPLOADS = st.one_of(
    st.lists(PAYLOADS, min_size=1, max_size=5).map(
        lambda blocks: b"".join(xmodem(each, n, 128) for n, each in enumerate(blocks, 1)) + b"\x04"
    ),
    st.lists(PAYLOADS, min_size=1, max_size=4).map(
        lambda blocks: b"".join(xmodem(each, n, 1024) for n, each in enumerate(blocks)) + b"\x04"
    ),
    st.lists(st.tuples(PAYLOADS, st.integers(2, 0x15)), min_size=1, max_size=4).map(
        lambda requests: b"".join(slip(*each) for each in requests)
    ),
    st.lists(PAYLOADS, min_size=1, max_size=4).map(lambda pages: b"".join(map(stk500, pages))),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def taken(runs: ProgramRuns, profile: Profile, data: list[bytes]) -> Split:
    """Do what the bridge does with a program's bytes as they come."""
    program, realtime, reset = b"", b"", False
    for piece in data:
        if not runs.must_look(profile, piece):
            runs.passed(piece)
            program += piece
            continue
        split = runs.split(profile, piece, program[-1:] in (b"", b"\n"))
        program = split.program if split.reset else program + split.program
        realtime, reset = realtime + split.realtime, reset or split.reset
    return Split(program, realtime, reset)


def test_the_block_that_was_destroyed_arrives_whole() -> None:
    block = xmodem(bytes(range(128)), 1, 128)
    assert len(block) == 133
    assert taken(ProgramRuns(Clock()), GRBL, [block]) == Split(block)


@given(profile=PROFILES, upload=UPLOADS, cuts=st.lists(st.integers(0, 5000), max_size=30))
def test_any_upload_arrives_byte_for_byte_however_it_is_cut(
    profile: Profile, upload: bytes, cuts: list[int]
) -> None:
    assert taken(ProgramRuns(Clock()), profile, pieces(upload, cuts)) == Split(upload)


@given(upload=UPLOADS, profile=BYTE_PROFILES, pauses=st.lists(st.floats(0, 60), max_size=8))
def test_a_block_after_any_pause_gives_itself_away_again(
    upload: bytes, profile: Profile, pauses: list[float]
) -> None:
    clock = Clock()
    runs = ProgramRuns(clock)
    for pause in [0.0, *pauses]:
        clock.now += pause
        assert taken(runs, profile, [upload]) == Split(upload)


LINES = st.lists(
    st.sampled_from(
        [
            *(GCODE, b"G0X1\r\n", b"$J=G91X1F100\n", b"\n", b"N7 M3 S5*33\n", b"(a note) G4 P1\n"),
            *(b"; gr\xc3\xb6\xc3\x9fe\n", b"; caf\xe9 \xe4\xf6\xfc\n"),
            b"M117 \xe2\x80\x9eHi\xe2\x80\x9c\n",
        ]
    ),
    max_size=30,
)


@given(
    before=LINES,
    after=LINES,
    stop=st.sampled_from(
        [b"!", b"\x18", b"\x84", b"?", b"~", b"\x91", b"\x91\x91\x91", b"\x85\x18"]
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
def test_every_urgent_byte_in_gcode_is_seen_however_it_is_cut(
    before: list[bytes], after: list[bytes], stop: bytes, cuts: list[int]
) -> None:
    program = b"".join(before) + stop + b"".join(after)
    split = taken(ProgramRuns(Clock()), GRBL, pieces(program, cuts))
    assert split.realtime == stop
    assert split.reset is (0x18 in stop)
    if not split.reset:
        assert split.program == b"".join(before + after)


@given(
    upload=UPLOADS,
    rest=st.integers(0, 60),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    stop=st.sampled_from([b"!", b"\x18", b"\x84"]),
)
def test_a_stop_after_an_upload_overtakes_again_once_the_line_is_gcode(
    upload: bytes, rest: int, cuts: list[int], stop: bytes
) -> None:
    gcode = b"\n" + GCODE * (LEAST_GCODE_BYTES // len(GCODE) + 2)
    runs = ProgramRuns(Clock())
    split = taken(runs, GRBL, pieces(upload + gcode + GCODE * rest, cuts))
    assert split == Split(upload + gcode + GCODE * rest)
    assert taken(runs, GRBL, [stop]).realtime == stop


@given(upload=UPLOADS, stop=st.sampled_from([b"!", b"\x18", b"\x84"]))
def test_a_stop_after_an_upload_and_a_pause_overtakes_at_once(upload: bytes, stop: bytes) -> None:
    clock = Clock()
    runs = ProgramRuns(clock)
    taken(runs, GRBL, [upload])
    clock.now += QUIET_S
    assert taken(runs, GRBL, [stop]) == Split(b"", stop, reset=stop == b"\x18")


@given(upload=UPLOADS, stop=st.sampled_from([b"!", b"\x18"]))
def test_a_stop_within_an_upload_still_reaches_the_device(upload: bytes, stop: bytes) -> None:
    assert taken(ProgramRuns(Clock()), GRBL, [upload, stop]) == Split(upload + stop)


def test_a_program_before_an_upload_is_looked_at_to_its_last_whole_line() -> None:
    block = xmodem(b"!" * 128, 1, 128)
    runs = ProgramRuns(Clock())
    assert list(runs.runs(GRBL, GCODE + b"!\n" + block)) == [GCODE + b"!\n", block]
    assert runs.is_binary


@pytest.mark.parametrize("text", ["; größe Ä „so“ …\n", "M117 Ä\n", "(Ärger) G1 X1\n"])
def test_the_bytes_of_a_character_are_no_stops_however_they_are_cut(text: str) -> None:
    data = text.encode()
    for cut in range(len(data)):
        assert taken(ProgramRuns(Clock()), GRBL, [data[:cut], data[cut:]]) == Split(data)


def test_a_lone_safety_door_is_a_stop_also_behind_a_character() -> None:
    assert taken(ProgramRuns(Clock()), GRBL, [b"; \xc3\xa4\n", b"\x84"]).realtime == b"\x84"
    assert taken(ProgramRuns(Clock()), GRBL, [b"\xc3", b"G\x84"]).realtime == b"\x84"


@given(st.binary(max_size=300))
def test_raw_and_unknown_firmware_get_everything_as_it_is(data: bytes) -> None:
    for profile in (RAW, AUTO):
        runs = ProgramRuns(Clock())
        assert not runs.must_look(profile, data)
        assert b"".join(runs.runs(profile, data)) == data


@given(
    profile=PROFILES, data=st.binary(max_size=600), cuts=st.lists(st.integers(0, 600), max_size=9)
)
def test_nothing_is_made_up_or_lost_of_any_bytes(
    profile: Profile, data: bytes, cuts: list[int]
) -> None:
    runs = ProgramRuns(Clock())
    assert (
        b"".join(run for piece in pieces(data, cuts) for run in runs.runs(profile, piece)) == data
    )


def test_bytes_passed_untouched_are_not_examined_again() -> None:
    service = ProgramRuns(Clock(), takes_lines=False)
    assert not service.must_look(GRBL, Untouched(b"\x18!"))
    assert service.must_look(GRBL, b"\x18!")
    assert not service.must_look(MARLIN, b"M112\n")
