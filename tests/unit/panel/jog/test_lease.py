from __future__ import annotations

import pytest

from usbshare.panel.jog.lease import AGE_S, LEASE_S, Lease

PAGE = object()


def test_a_lease_lasts_as_long_as_it_is_renewed() -> None:
    lease = Lease(PAGE, 1, 0.0)
    for step in range(1, 100):
        now = step * LEASE_S / 2
        assert lease.renew(now, now)
    assert not lease.expire(99 * LEASE_S / 2 + 0.99 * LEASE_S)
    assert lease.left_s(99 * LEASE_S / 2) == pytest.approx(LEASE_S)


def test_silence_ends_it_and_nothing_brings_it_back() -> None:
    lease = Lease(PAGE, 1, 0.0)
    assert not lease.renew(LEASE_S + 0.001, LEASE_S + 0.001)
    assert lease.is_over
    assert not lease.renew(0.0, 0.0)
    assert lease.left_s(0.0) == 0.0


def test_the_first_reason_stays() -> None:
    lease = Lease(PAGE, 1, 0.0)
    lease.end("released")
    lease.end("the page is gone")
    assert lease.why_ended == "released"


def test_a_lease_belongs_to_one_press_of_one_page() -> None:
    lease = Lease(PAGE, 7, 0.0)
    assert lease.is_of(PAGE, 7)
    assert not lease.is_of(PAGE, 8)
    assert not lease.is_of(object(), 7)


def test_renewals_that_a_network_held_back_do_not_keep_it_up() -> None:
    lease = Lease(PAGE, 1)
    assert lease.begin(0.0, 0.0)
    late_s = 0.02
    for step in range(1, 100):
        now = step * 0.04
        late_s += 0.02  # its queue grows
        if not lease.renew(now, now - late_s):
            break
    assert lease.is_over
    assert late_s <= AGE_S + 0.02


def test_a_burst_after_a_stall_moves_nothing() -> None:
    lease = Lease(PAGE, 1)
    assert lease.begin(0.0, 0.0)
    assert not any(lease.renew(0.09 + 1.0, made_at) for made_at in (0.04, 0.08, 1.0, 1.08))


def test_a_press_that_comes_late_begins_nothing() -> None:
    lease = Lease(PAGE, 1)
    assert not lease.begin(10.0, 10.0 - AGE_S - 0.01)
    assert f"{1000 * (AGE_S + 0.01):.0f} ms late" in lease.why_ended
    assert not lease.renew(10.0, 10.0)


def test_a_time_in_the_future_does_not_lengthen_it() -> None:
    lease = Lease(PAGE, 1)
    assert lease.begin(1.0, 1e9)
    assert lease.renew(1.01, 1e9)
    assert lease.left_s(1.01) == pytest.approx(LEASE_S)
