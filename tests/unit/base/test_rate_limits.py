"""Rates: a burst at once, then so much a second; for each key, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.base.rate_limits import Bucket, Buckets, FairShare, Rate

TEN_A_SECOND = Rate(10, 5)


def test_a_bucket_is_a_burst_and_then_so_much_a_second() -> None:
    bucket = Bucket(0.5, 1000.0)
    assert [bucket.take_if_left(1, 10, 1000.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take_if_left(1, 10, 1000.2) for _ in range(3)] == [True, True, False]


def test_an_unused_rate_does_not_accumulate() -> None:
    bucket = Bucket(0.5, 1000.0)
    assert not bucket.take_if_left(6, 10, 4600.0)
    assert bucket.take_if_left(5, 10, 4600.0)


def test_more_than_is_left_is_not_taken() -> None:
    bucket = Bucket(0.5, 0.0)
    assert not any(bucket.take_if_left(6, 10, 0.0) for _ in range(100))
    assert bucket.take_if_left(5, 10, 0.0)


def test_a_caller_that_takes_more_waits_for_the_difference() -> None:
    bucket = Bucket(2.0, 0.0)
    assert bucket.take(16, 8, 0.0) == 0.0
    assert bucket.take(8, 8, 0.0) == 1.0
    assert bucket.take(8, 8, 1.0) == 1.0


def test_tokens_given_back_count_as_never_taken() -> None:
    bucket = Bucket(2.0, 0.0)
    bucket.take(24, 8, 0.0)
    bucket.give_back(24, 8)
    assert bucket.take(16, 8, 0.0) == 0.0


def test_a_debt_is_no_longer_than_it_may_be() -> None:
    bucket = Bucket(2.0, 0.0)
    bucket.take(1e9, 8, 0.0)
    bucket.forgive_beyond(1.0)
    assert bucket.take(8, 8, 2.0) == 0.0
    assert bucket.take(8, 8, 2.0) == 1.0


def test_a_rate_may_change() -> None:
    bucket = Bucket(2.0, 0.0)
    assert bucket.take(16, 8, 0.0) == 0.0
    assert bucket.take(100, 100, 0.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 20)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate_and_a_burst(
    steps: list[tuple[float, float]],
) -> None:
    bucket, now, given_out = Bucket(TEN_A_SECOND.burst_s, 0.0), 0.0, 0.0
    for pause_s, count in steps:
        now += pause_s
        if bucket.take_if_left(count, TEN_A_SECOND.per_s, now):
            given_out += count
        assert given_out <= TEN_A_SECOND.burst + now * TEN_A_SECOND.per_s + 1e-6


def test_keys_do_not_share_and_hostile_ones_are_forgotten() -> None:
    buckets = Buckets[str](1.0, 100)
    assert buckets.of("loud", 0.0).take_if_left(10, 10, 0.0)
    assert buckets.of("other", 0.0).take_if_left(10, 10, 0.0)
    assert not buckets.of("loud", 0.0).take_if_left(1, 10, 0.0)
    for number in range(10_000):
        buckets.of(str(number), 0.0)
        buckets.of("loud", 0.0)
    assert len(buckets) == 100
    assert not buckets.of("loud", 0.0).take_if_left(1, 10, 0.0)


def test_a_loud_key_leaves_something_to_the_others() -> None:
    share = FairShare[str](Rate(10, 30), Rate(15, 40), FakeClock())
    assert sum(share.admits("loud") for _ in range(1000)) == 30
    assert sum(share.admits(str(number)) for number in range(1000)) == 10


def test_a_request_refused_by_the_common_limit_does_not_use_up_the_own_limit() -> None:
    clock = FakeClock()
    share = FairShare[str](Rate(1, 30), Rate(1000, 10), clock)
    assert sum(share.admits("one") for _ in range(1000)) == 10
    clock.advance(0.01)
    assert sum(share.admits("one") for _ in range(1000)) == 10
    clock.advance(0.01)
    assert sum(share.admits("one") for _ in range(1000)) == 10
    clock.advance(0.01)
    assert not share.admits("one")


@pytest.mark.parametrize("keys", [1, 7, 5000])
def test_a_flood_is_held_to_the_rate_of_all_in_constant_memory(keys: int) -> None:
    clock = FakeClock()
    share = FairShare[int](Rate(150, 300), Rate(200, 400), clock, 400)
    admitted = 0
    for number in range(50_000):
        clock.advance(1 / 10_000)
        admitted += share.admits(number % keys)
    assert admitted <= 400 + 5 * 200 + 1
    assert len(share) <= 400
