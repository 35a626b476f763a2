"""Distributions of times."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.time_stats import RECENT_S, TimeStats

TIMES = st.lists(st.floats(0, 1e5), min_size=1, max_size=200)


def counted(times: list[float]) -> TimeStats:
    stats = TimeStats()
    for each in times:
        stats.add(each, 0.0)
    return stats


@given(TIMES)
def test_quantiles_are_at_most_an_eighth_too_long_and_never_too_short(times: list[float]) -> None:
    summary = counted(times).summary(0.0)
    ordered = sorted(times)
    for part, found in ((0.5, summary.p50_s), (0.95, summary.p95_s), (0.99, summary.p99_s)):
        exact = next(t for i, t in enumerate(ordered, 1) if i >= part * len(ordered))
        exact = min(exact, 2**32 * 1e-6)
        assert exact - 1e-6 <= found <= exact * 1.125 + 1e-6


@given(TIMES)
def test_the_rest_is_exact(times: list[float]) -> None:
    summary = counted(times).summary(0.0)
    assert (summary.count, summary.recent_count) == (len(times), len(times))
    assert (summary.min_s, summary.max_s) == (min(times), max(times))
    assert summary.mean_s == pytest.approx(sum(times) / len(times))


def test_nothing_counted_is_all_zero() -> None:
    summary = TimeStats().summary(5.0)
    assert (summary.count, summary.p50_s, summary.p99_s, summary.max_s) == (0, 0.0, 0.0, 0.0)


def test_quantiles_are_of_the_last_one_to_two_minutes() -> None:
    stats = TimeStats()
    stats.add(1.0, 0.0)
    stats.add(0.001, RECENT_S)
    both = stats.summary(RECENT_S)
    assert both.p99_s == 1.0
    stats.add(0.001, 2 * RECENT_S)
    later = stats.summary(2 * RECENT_S)
    assert later.p99_s == pytest.approx(0.001, rel=0.13)
    assert (later.max_s, later.count, later.recent_count) == (1.0, 3, 2)


@pytest.mark.parametrize("idle_s", [2 * RECENT_S, 1e6])
def test_after_a_pause_nothing_is_recent(idle_s: float) -> None:
    stats = counted([1.0])
    summary = stats.summary(idle_s)
    assert (summary.count, summary.recent_count, summary.p99_s) == (1, 0, 0.0)


def test_no_time_is_counted_as_nothing() -> None:
    stats = TimeStats()
    for _ in range(9):
        stats.add_none(0.0)
    stats.add(0.5, 0.0)
    summary = stats.summary(0.0)
    assert (summary.p50_s, summary.min_s, summary.max_s) == (0.0, 0.0, 0.5)


def test_statistics_use_constant_memory() -> None:
    stats, numbers = TimeStats(), random.Random(1)
    sizes = set()
    for number in range(5000):
        stats.add(numbers.expovariate(100), number * 0.1)
        sizes.add((len(stats._buckets), len(stats._before)))
    assert len(sizes) == 1
