"""Replies among a device's bytes, which may be cut anywhere."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.flow.replies import (
    GRBL_DIALECT,
    LONGEST_LINE_BYTES,
    MARLIN_DIALECT,
    Dialect,
    Kind,
    ReplySplitter,
    Said,
)

GRBL_LINES = [
    b"ok\r\n",
    b"error:20\r\n",
    b"<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0>\r\n",
    b"[MSG:Pgm End]\r\n",
    b"[OPT:VNM,15,128]\r\n",
    b">G54:ok\r\n",
    b"\r\n",
    b"Grbl 1.1h ['$' for help]\r\n",
    b"ALARM:2\r\n",
    b"okay\r\n",
    b"o",
    b"\x00\xff",
    b"$0=10\r\n",
    b"ok" + b" " * LONGEST_LINE_BYTES + b"\r\n",
]
MARLIN_LINES = [
    b"ok\n",
    b"ok T:22.00 /0.00 @:0\n",
    b"ok N5 P15 B3\n",
    b"echo:busy: processing\n",
    b"Error:checksum mismatch, Last Line: 4\n",
    b"Resend: 5\n",
    b"rs N7\n",
    b"start\n",
    b"wait\n",
    b"Error:Printer halted. kill() called!\n",
    b"FIRMWARE_NAME:Marlin\n",
    b"\n",
]


def heard(dialect: Dialect, chunks: list[bytes], owed: int) -> tuple[bytes, list[Said]]:
    """Return what passes, and what was said, while so many replies are owed."""
    left = owed
    splitter = ReplySplitter(dialect, lambda: left > 0)
    passed, said = b"", []
    for chunk in chunks:
        for part in splitter.feed(chunk):
            if isinstance(part, bytes):
                passed += part
                continue
            said.append(part)
            left -= part.kind in (Kind.OK, Kind.ERROR)
    return passed, said


@pytest.mark.parametrize(
    ("dialect", "lines"), [(GRBL_DIALECT, GRBL_LINES), (MARLIN_DIALECT, MARLIN_LINES)]
)
def test_bytes_cut_anywhere_say_the_same(dialect: Dialect, lines: list[bytes]) -> None:
    @given(
        st.lists(st.sampled_from(lines), max_size=12),
        st.integers(0, 4),
        st.lists(st.integers(1, 40), min_size=1),
    )
    def check(said: list[bytes], owed: int, sizes: list[int]) -> None:
        # What ends the bytes is whole, so that nothing is kept back at the end.
        data, pieces, cuts = b"".join(said) + b"\n", [], deque(sizes)
        while data:
            pieces.append(data[: cuts[0]])
            data = data[cuts[0] :]
            cuts.rotate()
        assert heard(dialect, pieces, owed) == heard(dialect, [b"".join(pieces)], owed)

    check()


def test_replies_are_kept_back_and_all_else_passes() -> None:
    data = b"ok\r\n<Idle|WPos:0>\r\nerror:9\r\n[MSG:x]\r\nok\r\n"
    passed, said = heard(GRBL_DIALECT, [data], 3)
    assert passed == b"<Idle|WPos:0>\r\n[MSG:x]\r\n"
    assert [each.text for each in said if each.kind in (Kind.OK, Kind.ERROR)] == [
        b"ok",
        b"error:9",
        b"ok",
    ]


def test_an_ok_that_is_owed_to_nobody_passes() -> None:
    assert heard(GRBL_DIALECT, [b"ok\r\nok\r\n"], 1)[0] == b"ok\r\n"
    assert heard(GRBL_DIALECT, [b"ok\r\n"], 0) == (b"ok\r\n", [])


def test_a_reply_that_began_before_a_line_was_written_is_not_the_lines() -> None:
    owed = False
    splitter = ReplySplitter(GRBL_DIALECT, lambda: owed)
    assert list(splitter.feed(b"o")) == [b"o"]
    owed = True
    assert list(splitter.feed(b"k\r\n")) == [b"k\r\n"]
    assert list(splitter.feed(b"ok\r\n")) == [Said(Kind.OK, b"ok")]


def test_bytes_that_cannot_become_a_reply_do_not_wait_for_a_line_end() -> None:
    splitter = ReplySplitter(GRBL_DIALECT, lambda: True)
    assert list(splitter.feed(b"e")) == []
    assert list(splitter.feed(b"ch")) == [b"ech"]
    assert list(splitter.feed(b"o")) == [b"o"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Grbl 1.1h ['$' for help]", Kind.WELCOME),
        (b"GrblHAL 1.1f ['$' or '$HELP' for help]", Kind.WELCOME),
        (b"Grbl 3.7 [FluidNC v3.7.8 (wifi) '$' for help]", Kind.WELCOME),
        (b"error: Bad number format", Kind.ERROR),
        (b"ok", Kind.OK),
        (b">G20:ok", None),
        (b"ALARM:1", Kind.ALARM),
    ],
)
def test_replies_of_grbl_and_its_relatives(line: bytes, kind: Kind | None) -> None:
    assert GRBL_DIALECT.kind_of(line) is kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"ok", Kind.OK),
        (b"ok P15 B3", Kind.OK),
        (b"okay", None),
        (b"Resend: 12", Kind.RESEND),
        (b"rs 12", Kind.RESEND),
        (b"Error:Line Number is not Last Line Number+1, Last Line: 3", Kind.COMPLAINT),
        (b"!! Must home axis first", Kind.COMPLAINT),
        (b"Error:Printer halted. kill() called!", Kind.ALARM),
        (b"start", Kind.WELCOME),
        (b"echo:busy: processing", Kind.BUSY),
    ],
)
def test_replies_of_marlin_and_its_relatives(line: bytes, kind: Kind | None) -> None:
    assert MARLIN_DIALECT.kind_of(line) is kind
