"""Wrong attempts: few from one address, and a flood of them is no flood of log lines."""

from __future__ import annotations

import pytest

from fakes.clock import FakeClock
from usbshare.base.errors import LimitError
from usbshare.enrolment.failed_attempts import (
    MOST_ADDRESSES,
    MOST_OF_ALL,
    MOST_OF_ONE,
    PERIOD_S,
    FailedAttempts,
)


def exhausted(clock: FakeClock, address: str) -> FailedAttempts:
    attempts = FailedAttempts(clock)
    for _ in range(MOST_OF_ONE):
        attempts.require_few(address)
        attempts.note_wrong(address)
    return attempts


def test_after_a_few_wrong_ones_an_address_must_wait() -> None:
    clock = FakeClock()
    attempts = exhausted(clock, "192.0.2.7")
    with pytest.raises(LimitError, match=r"too many wrong attempts from 192\.0\.2\.7: wait 60 s"):
        attempts.require_few("192.0.2.7")
    clock.advance(PERIOD_S)
    attempts.require_few("192.0.2.7")


def test_other_addresses_need_not_wait() -> None:
    exhausted(FakeClock(), "192.0.2.7").require_few("192.0.2.8")


def test_a_network_of_ipv6_counts_as_one() -> None:
    attempts = exhausted(FakeClock(), "2001:db8:1:2::7")
    attempts.require_few("2001:db8:1:3::7")
    with pytest.raises(LimitError):
        attempts.require_few("2001:db8:1:2:ffff::1")


def test_an_ipv4_address_within_ipv6_is_that_address() -> None:
    with pytest.raises(LimitError):
        exhausted(FakeClock(), "::ffff:192.0.2.7").require_few("192.0.2.7")
    exhausted(FakeClock(), "::ffff:192.0.2.7").require_few("::ffff:192.0.2.8")


def test_a_flood_from_everywhere_is_no_longer_reported() -> None:
    clock = FakeClock()
    attempts = FailedAttempts(clock)
    told = [attempts.note_wrong(f"192.0.2.{number}") for number in range(MOST_OF_ALL + 20)]
    assert told == [True] * MOST_OF_ALL + [False] * 20
    clock.advance(PERIOD_S)
    assert attempts.note_wrong("192.0.2.1")


def test_a_flood_does_not_stop_a_newcomer() -> None:
    attempts = FailedAttempts(FakeClock())
    for number in range(MOST_ADDRESSES * 2):
        attempts.note_wrong(f"10.0.{number // 256}.{number % 256}")
    attempts.require_few("192.0.2.7")
