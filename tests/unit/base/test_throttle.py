"""A few at once, the rest counted; in bounded memory, whoever comes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.base.throttle import MOST_REPORTED_KEYS, ReportedThrottle, Throttle


def test_the_first_of_each_key_is_let_through_at_once() -> None:
    throttle = Throttle[str](1.0, FakeClock())
    assert [throttle.admits(key) for key in "aabab"] == [True, False, True, False, False]


def test_left_out_events_are_reported_once() -> None:
    clock = FakeClock()
    throttle = Throttle[str](1.0, clock)
    for _ in range(5):
        throttle.admits("a")
    clock.advance(1.0)
    assert throttle.admits("a")
    assert [throttle.take_left_out(key) for key in "aab"] == [4, 0, 0]


def test_so_many_are_let_through_within_any_period() -> None:
    clock = FakeClock()
    throttle = Throttle[str](60.0, clock, most=2)
    assert throttle.admits("pc")
    clock.advance(30)
    assert throttle.admits("pc")
    assert not throttle.admits("pc")
    assert throttle.is_full("pc")
    assert not throttle.is_full("laptop")
    clock.advance(30)
    assert throttle.admits("pc")
    assert not throttle.admits("pc")


def test_asking_counts_nothing() -> None:
    throttle = Throttle[str](60.0, FakeClock())
    assert not any(throttle.is_full("pc") for _ in range(100))
    assert len(throttle) == 0
    assert throttle.admits("pc")


def test_hostile_keys_fill_no_memory_and_the_silent_ones_are_forgotten() -> None:
    throttle = Throttle[object](60.0, FakeClock(), most_keys=100)
    throttle.admits("here")
    for number in range(10_000):
        throttle.admits(number)
        assert not throttle.admits("here")
    assert len(throttle) == 100
    assert throttle.take_left_out("here") == 10_000


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2)), max_size=80),
)
def test_nothing_is_lost_and_no_period_has_too_many(
    most: int, events: list[tuple[str, float]]
) -> None:
    clock = FakeClock()
    throttle = Throttle[str](5.0, clock, most=most)
    let_through: dict[str, list[float]] = {}
    for key, pause_s in events:
        clock.advance(pause_s)
        if throttle.admits(key):
            let_through.setdefault(key, []).append(clock())
    for key, count in Counter(key for key, _ in events).items():
        times = let_through[key]
        assert len(times) + throttle.take_left_out(key) == count
        assert all(times[at + most] - times[at] >= 5.0 for at in range(len(times) - most))


def test_reports_become_less_frequent_while_it_continues() -> None:
    clock = FakeClock()
    throttle, told = ReportedThrottle[str](2.0, 8.0, clock), []
    assert throttle.admits("a", "first")
    for second in range(1, 40):
        clock.advance(1.0)
        assert not throttle.admits("a", str(second))
        told += [(second, count, text) for count, text in throttle.overdue()]
    assert [each[:2] for each in told] == [(2, 2), (6, 4), (14, 8), (22, 8), (30, 8), (38, 8)]
    assert all(text == str(second) for second, _, text in told)


def test_reports_start_again_after_a_quiet_period() -> None:
    clock = FakeClock()
    throttle = ReportedThrottle[str](1.0, 8.0, clock)
    assert throttle.admits("a")
    clock.advance(1.0)
    assert throttle.admits("a")


def test_a_quiet_period_is_as_long_as_the_last_one_and_the_next_is_short() -> None:
    clock = FakeClock()
    throttle = ReportedThrottle[str](1.0, 8.0, clock)
    assert [throttle.admits("a") for _ in range(2)] == [True, False]
    clock.advance(1.0)
    assert len(list(throttle.overdue())) == 1
    clock.advance(1.0)
    assert not throttle.admits("a")
    clock.advance(1.0)
    assert len(list(throttle.overdue())) == 1
    clock.advance(4.0)
    assert [throttle.admits("a") for _ in range(2)] == [True, False]
    assert throttle.due_in_s() == 1.0


def test_the_throttle_says_when_a_report_is_due() -> None:
    clock = FakeClock()
    throttle = ReportedThrottle[str](1.0, 8.0, clock)
    throttle.admits("a")
    assert throttle.due_in_s() is None
    clock.advance(0.5)
    throttle.admits("a")
    clock.advance(0.25)
    assert throttle.due_in_s() == 0.25


def test_a_flood_from_everywhere_shares_a_place() -> None:
    throttle = ReportedThrottle[int](1.0, 8.0, FakeClock())
    told = sum(throttle.admits(number) for number in range(10_000))
    assert told == MOST_REPORTED_KEYS + 1
    assert len(throttle) == MOST_REPORTED_KEYS + 1
    left_out = sum(count for count, _ in throttle.overdue(everything=True))
    assert left_out == 10_000 - told
