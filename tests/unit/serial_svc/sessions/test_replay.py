"""What was sent and may not have come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.serial_svc.sessions.replay import Replay


def replay(*chunks: bytes, start: int = 0, most: int = 1 << 20) -> Replay:
    made = Replay(start, most)
    for chunk in chunks:
        made.sent(start, chunk)
        start += len(chunk)
    return made


def test_a_client_that_has_nothing_of_it_gets_all() -> None:
    assert replay(b"ab", b"cd", start=10).take_from(10) == [(10, b"ab"), (12, b"cd")]


def test_a_client_that_has_all_gets_nothing() -> None:
    assert replay(b"ab", b"cd").take_from(4) == []


def test_acknowledged_bytes_cannot_be_asked_for() -> None:
    made = replay(b"ab", b"cd", b"ef")
    made.acknowledged(2)
    assert made.take_from(1) is None
    assert made.take_from(2) == [(2, b"cd"), (4, b"ef")]


def test_bytes_never_sent_cannot_be_asked_for() -> None:
    assert replay(b"ab").take_from(3) is None


def test_too_much_pushes_out_the_oldest() -> None:
    made = replay(b"ab", b"cd", b"ef", most=4)
    assert made.take_from(0) is None
    assert made.take_from(2) == [(2, b"cd"), (4, b"ef")]


def test_bytes_that_a_flush_threw_away_are_no_hole() -> None:
    made = Replay(0, 100)
    made.sent(0, b"ab")
    made.acknowledged(2)
    made.sent(50, b"cd")
    assert made.take_from(2) == [(50, b"cd")]


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=20), st.data())
def test_a_client_gets_exactly_what_it_lacks(chunks: list[bytes], data: st.DataObject) -> None:
    everything = b"".join(chunks)
    made = replay(*chunks)
    acknowledged = data.draw(st.integers(0, len(everything)))
    made.acknowledged(acknowledged)
    has = data.draw(st.integers(acknowledged, len(everything)))
    again = made.take_from(has)
    assert again is not None
    assert b"".join(chunk for _, chunk in again) == everything[has:]
