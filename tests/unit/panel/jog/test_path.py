from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.jog.path import (
    ALONE_S,
    LEAST_PIECE_MM,
    LEAST_PIECE_S,
    UNKNOWN_FEED,
    Direction,
    Path,
)

PARTS = st.floats(-1, 1)
FEEDS = st.floats(1, 20_000)


def test_the_first_piece_is_what_the_machine_covers_in_its_time_alone() -> None:
    path = Path(Direction(1, 0, 0, 6000))
    assert path.next_piece() == "$J=G21G91X10F6000"
    assert path.sent_mm == 6000 / 60 * ALONE_S


def test_the_next_piece_is_as_long_as_what_the_machine_has_covered() -> None:
    path = Path(Direction(0, 1, 0, 6000))
    path.next_piece()
    assert not path.may_send  # it is not known where it began
    path.reported((10.0, 20.0, 0.0))
    allowed = [path.may_send]
    for y in (20.5, 21.0, 23.99):
        path.reported((10.0, y, 0.0))
        allowed.append(path.may_send)
    assert allowed == [False, False, False, True]
    assert path.next_piece() == "$J=G21G91Y4F6000"
    assert not path.may_send


def test_going_back_counts_for_nothing() -> None:
    path = Path(Direction(1, 0, 0, 6000))
    path.next_piece()
    path.reported((0.0, 0.0, 0.0))
    path.reported((4.0, 0.0, 0.0))
    path.reported((1.0, 0.0, 0.0))
    assert path.done_mm == 4.0


@given(PARTS, PARTS, PARTS, FEEDS, st.lists(st.floats(0, 1), max_size=50))
def test_no_more_than_its_time_alone_is_ever_with_the_machine(
    x: float, y: float, z: float, feed: float, moves: list[float]
) -> None:
    assume(max(abs(x), abs(y), abs(z)) >= 1e-3)
    path = Path(Direction(x, y, z, feed))
    at = 0.0
    path.next_piece()
    path.reported((0.0, 0.0, 0.0))
    for move in moves:
        at = min(path.sent_mm, at + move * path.direction.alone_mm)
        path.reported(tuple(part * at for part in path.direction.unit))
        if path.may_send:
            path.next_piece()
        assert path.sent_mm - at <= path.direction.alone_mm + 0.02


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
    """Positions come in whole steps of the motor: 80 a millimetre."""
    path, step_mm = Path(Direction(1, 0, 0, 0.1)), 1 / 80
    path.next_piece()
    path.reported((0.0, 0.0, 0.0))
    while path.done_mm < 1.0:
        path.reported((int(path.sent_mm / step_mm) * step_mm, 0.0, 0.0))
        assert path.may_send
        path.next_piece()
    assert path.sent_mm - path.done_mm <= 2 * LEAST_PIECE_MM + step_mm + 0.01


@pytest.mark.parametrize("late_s", [0.004, 0.02, 0.05])
@pytest.mark.parametrize(("feed", "acceleration"), [(6000, 500), (6000, 3000), (1500, 200)])
def test_a_jog_is_as_fast_as_the_way_left_to_brake_allows(
    feed: float, acceleration: float, late_s: float
) -> None:
    """A machine that always can stop within what it has; what is known of it is `late_s` old."""
    path = Path(Direction(1, 0, 0, feed))
    end, at, speed, fastest, tick = 0.0, 0.0, 0.0, 0.0, 0.001
    path.reported((0.0, 0.0, 0.0))
    on_the_way: list[tuple[int, float]] = []
    past = [0.0]
    lag = round(late_s / tick)
    for now in range(3000):
        path.reported((past[max(0, now - lag)], 0.0, 0.0))
        if path.may_send:
            path.next_piece()
            on_the_way.append((now + 1, path.sent_mm))
        while on_the_way and on_the_way[0][0] <= now:
            end = on_the_way.pop(0)[1]
        can_stop_from = (2 * acceleration * max(0.0, end - at)) ** 0.5
        speed = min(speed + acceleration * tick, can_stop_from, feed / 60)
        at = min(end, at + speed * tick)
        past.append(at)
        fastest = max(fastest, speed)
        assert end - at <= path.direction.alone_mm + 0.02
    # What is known is older by the tick of a piece's arrival, and by the shortest piece.
    late_s += 2 * tick + LEAST_PIECE_S
    way = path.direction.alone_mm
    reached = acceleration * ((late_s**2 + 2 * way / acceleration) ** 0.5 - late_s)
    assert fastest >= 0.95 * min(feed / 60, reached)
