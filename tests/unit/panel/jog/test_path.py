from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.jog.path import LEAST_PIECE_MM, PIECE_S, UNKNOWN_FEED, Direction, Path

PARTS = st.floats(-1, 1)
FEEDS = st.floats(1, 20_000)


def test_a_piece_is_what_the_machine_covers_in_half_of_its_time_alone() -> None:
    path = Path(Direction(1, 0, 0, 6000))
    assert path.next_piece() == "$J=G21G91X5F6000"
    assert path.sent_mm == 6000 / 60 * PIECE_S


def test_the_next_piece_waits_until_the_machine_is_in_its_last_one() -> None:
    path = Path(Direction(0, 1, 0, 6000))
    path.next_piece()
    allowed = [path.may_send]  # it is not known where it began
    path.reported((10.0, 20.0, 0.0))
    allowed.append(path.may_send)
    path.next_piece()
    for y in (20.0, 22.0, 25.0):
        path.reported((10.0, y, 0.0))
        allowed.append(path.may_send)
    assert allowed == [False, True, False, False, True]


def test_going_back_counts_for_nothing() -> None:
    path = Path(Direction(1, 0, 0, 6000))
    path.next_piece()
    path.reported((0.0, 0.0, 0.0))
    path.reported((4.0, 0.0, 0.0))
    path.reported((1.0, 0.0, 0.0))
    assert path.done_mm == 4.0


@given(PARTS, PARTS, PARTS, FEEDS, st.lists(st.floats(0, 1), max_size=50))
def test_no_more_than_two_pieces_are_ever_with_the_machine(
    x: float, y: float, z: float, feed: float, moves: list[float]
) -> None:
    assume(max(abs(x), abs(y), abs(z)) >= 1e-3)
    path = Path(Direction(x, y, z, feed))
    at = 0.0
    path.next_piece()
    path.reported((0.0, 0.0, 0.0))
    for move in moves:
        at = min(path.sent_mm, at + move * path.direction.piece_mm)
        path.reported(tuple(part * at for part in path.direction.unit))
        if path.may_send:
            path.next_piece()
        assert path.sent_mm - at <= 2 * path.direction.piece_mm + 0.02


def test_no_piece_is_longer_than_the_machine_covers_in_its_time() -> None:
    rates = (6000.0, 3000.0, None)
    assert Direction(1, 0, 0, 1e5).limited(rates).feed == 6000
    assert Direction(0, -1, 0, 1e5).limited(rates).feed == 3000
    assert Direction(0, 0, 1, 1e5).limited(rates).feed == UNKNOWN_FEED
    diagonal = Direction(1, 1, 0, 1e5).limited(rates)
    assert diagonal.feed == pytest.approx(3000 * 2**0.5)
    slow = Direction(1, 1, 1, 60)
    assert slow.limited(rates) is slow


@pytest.mark.parametrize(
    ("x", "y", "z", "feed"),
    [(0, 0, 0, 100), (1, 0, 0, 0), (1, 0, 0, -5), (nan, 0, 0, 100), (1, 0, 0, inf)],
)
def test_a_jog_without_a_direction_is_refused(x: float, y: float, z: float, feed: float) -> None:
    with pytest.raises(InvalidArgumentError):
        Direction(x, y, z, feed)


def test_a_very_slow_jog_still_moves() -> None:
    assert Direction(1, 0, 0, 0.1).piece_mm == LEAST_PIECE_MM
