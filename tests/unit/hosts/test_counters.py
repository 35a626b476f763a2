"""What the counters of a source say."""

from __future__ import annotations

import pytest

from fakes.clock import FakeClock
from usbshare.hosts.counters import SourceCounters


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters(clock: FakeClock) -> SourceCounters:
    return SourceCounters(clock)


def test_packets_and_bytes_add_up(counters: SourceCounters) -> None:
    for n_bytes in (10, 20, 0):
        counters.sent(n_bytes)
    counters.received(7)
    counters.error()
    stats = counters.snapshot()
    assert (stats.sent_packets, stats.sent_bytes) == (3, 30)
    assert (stats.received_packets, stats.received_bytes) == (1, 7)
    assert stats.errors == 1


def test_a_reset_returns_what_they_were_and_leaves_zeroes(counters: SourceCounters) -> None:
    counters.sent(10)
    counters.received(20)
    counters.error()
    before = counters.snapshot()
    assert counters.reset() == before
    after = counters.snapshot()
    assert (after.sent_packets, after.sent_bytes, after.errors) == (0, 0, 0)
    assert (after.received_packets, after.received_bytes) == (0, 0)
    assert after.received_packets_per_s == 0


def test_a_reset_does_not_make_it_younger(counters: SourceCounters, clock: FakeClock) -> None:
    clock.advance(60)
    counters.reset()
    clock.advance(5)
    assert counters.snapshot().uptime_s == 65


def test_the_rate_is_that_of_the_last_ten_seconds(
    counters: SourceCounters, clock: FakeClock
) -> None:
    for _ in range(30):
        counters.received(1)
        counters.received(1)
        clock.advance(1)
    assert counters.snapshot().received_packets_per_s == pytest.approx(2, abs=0.2)
    clock.advance(10)
    assert counters.snapshot().received_packets_per_s == 0


def test_a_young_source_has_the_rate_of_its_few_seconds(
    counters: SourceCounters, clock: FakeClock
) -> None:
    counters.received(1)
    assert counters.snapshot().received_packets_per_s == 1
    clock.advance(3)
    counters.received(1)
    counters.received(1)
    assert counters.snapshot().received_packets_per_s == 1


def test_the_rate_starts_over_with_a_reset(counters: SourceCounters, clock: FakeClock) -> None:
    clock.advance(100)
    counters.reset()
    clock.advance(2)
    for _ in range(8):
        counters.received(1)
    assert counters.snapshot().received_packets_per_s == 4
