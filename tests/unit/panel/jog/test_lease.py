from __future__ import annotations

import pytest

from usbshare.panel.jog.lease import LEASE_S, Lease

PAGE = object()


def test_it_lasts_as_long_as_it_is_renewed() -> None:
    lease = Lease(PAGE, 1, 0.0)
    for step in range(1, 100):
        assert lease.renew(step * LEASE_S / 2)
    assert not lease.expire(99 * LEASE_S / 2 + 0.99 * LEASE_S)
    assert lease.left_s(99 * LEASE_S / 2) == pytest.approx(LEASE_S)


def test_silence_ends_it_and_nothing_brings_it_back() -> None:
    lease = Lease(PAGE, 1, 0.0)
    assert not lease.renew(LEASE_S + 0.001)
    assert lease.is_over
    assert not lease.renew(0.0)
    assert lease.left_s(0.0) == 0.0


def test_the_first_reason_stays() -> None:
    lease = Lease(PAGE, 1, 0.0)
    lease.end("released")
    lease.end("the page is gone")
    assert lease.why_ended == "released"


def test_it_is_of_one_press_of_one_page() -> None:
    lease = Lease(PAGE, 7, 0.0)
    assert lease.is_of(PAGE, 7)
    assert not lease.is_of(PAGE, 8)
    assert not lease.is_of(object(), 7)
