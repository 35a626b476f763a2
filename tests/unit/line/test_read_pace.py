"""How often a line is read: a stream now and then, everything else at once."""

from __future__ import annotations

import pytest

from usbshare.line.read_pace import REST_S, WINDOW_S, ReadPace

PIECE = b"x" * 64


def rests(pace: ReadPace, piece: bytes, interval_s: float, start: float = 0.0) -> list[float]:
    """For a second read pieces that come at an interval, whenever the pace lets us."""
    found, now = [], start
    while now < start + 1.0:
        rest_s = pace.rest_s(piece, now)
        found.append(rest_s)
        now += max(interval_s, rest_s)
    return found


def test_a_stream_is_read_now_and_then() -> None:
    found = rests(ReadPace(), PIECE, 0.0007)
    assert found[0] == 0
    assert found[-1] == REST_S


@pytest.mark.parametrize(
    ("piece", "interval_s"),
    [
        (b"ok\n", 0.0003),
        (PIECE + b"\n", 0.0007),
        (b"\x06", 0.0005),  # who waits for each answer of a few bytes
        (PIECE, 0.006),  # 115200 baud
        (b"x" * 4096, 0.001),  # more than a driver could keep meanwhile
    ],
)
def test_other_input_is_read_at_once(piece: bytes, interval_s: float) -> None:
    assert set(rests(ReadPace(), piece, interval_s)) == {0.0}


def test_the_end_of_a_line_and_a_pause_end_a_stream() -> None:
    pace = ReadPace()
    rests(pace, PIECE, 0.0007)
    assert pace.rest_s(b"ok\n", 1.0) == 0
    assert rests(pace, PIECE, 0.0007, 1.0)[-1] == REST_S
    assert pace.rest_s(b"x", 2.0 + 2 * WINDOW_S) == 0


def test_accumulated_bytes_are_read_at_once() -> None:
    pace = ReadPace()
    assert rests(pace, PIECE, 0.0007)[-1] == REST_S
    assert pace.rest_s(b"x" * 4096, 1.0) == 0
