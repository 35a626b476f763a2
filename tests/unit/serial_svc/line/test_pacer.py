"""Pacing: never more than a few milliseconds of line ahead of the device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.serial_svc.line.pacer import LEAD_S, LEAST_LEAD_BYTES, Pacer

RATE = 11520.0
PLENTY = 1 << 20


def test_a_fresh_line_takes_a_lead_at_once() -> None:
    assert Pacer(RATE).allowance(5.0, 0, PLENTY) == int(RATE * LEAD_S)


def test_a_slow_line_still_gets_a_lead_of_32_bytes() -> None:
    assert Pacer(120.0).allowance(5.0, 0, PLENTY) == LEAST_LEAD_BYTES


def test_bytes_that_the_driver_reports_as_unsent_count() -> None:
    pacer = Pacer(RATE)
    pacer.written(30, now=0.0)
    assert pacer.allowance(10.0, 30, 4) == 4
    assert pacer.allowance(10.0, 4096, PLENTY) == 0


def test_a_driver_that_does_not_count_is_paced_by_line_time() -> None:
    pacer = Pacer(RATE)
    pacer.written(pacer.lead_bytes, now=0.0)
    assert pacer.allowance(0.0, 0, PLENTY) == 0
    assert pacer.allowance(30 / RATE, 0, PLENTY) == pytest.approx(30, abs=1)


def test_a_line_that_stalls_is_asked_less_and_less_often() -> None:
    pacer = Pacer(RATE)
    waits = [pacer.wait_s(now=float(n), unsent=pacer.lead_bytes) for n in range(10)]
    assert waits[1:] == sorted(waits[1:])
    assert waits[-1] <= 0.020


def test_after_a_reset_the_whole_lead_is_free() -> None:
    pacer = Pacer(RATE)
    pacer.written(1000, now=0.0)
    pacer.reset()
    assert pacer.allowance(0.0, 0, PLENTY) == pacer.lead_bytes


@given(st.lists(st.floats(0.0, 0.01), min_size=1, max_size=200), st.floats(300, 4_000_000))
def test_never_faster_than_the_line_and_never_more_than_a_lead_ahead(
    pauses: list[float], rate: float
) -> None:
    pacer = Pacer(rate)
    now = sent = 0.0
    for pause in pauses:
        size = pacer.allowance(now, 0, PLENTY)
        pacer.written(size, now)
        sent += size
        assert sent <= now * rate + pacer.lead_bytes + 0.01
        now += pause


def test_a_sliver_of_room_is_not_worth_a_write_unless_it_is_all_that_is_wanted() -> None:
    pacer = Pacer(RATE)
    pacer.written(pacer.lead_bytes, now=0.0)
    assert pacer.allowance(3 / RATE, 0, PLENTY) == 0
    assert pacer.allowance(3 / RATE, 0, 2) == 2


def test_after_the_wait_there_is_something_to_write() -> None:
    pacer = Pacer(RATE)
    pacer.written(pacer.lead_bytes, now=0.0)
    wait_s = pacer.wait_s(now=0.0, unsent=0)
    assert pacer.allowance(wait_s + 1e-6, 0, PLENTY) >= pacer.lead_bytes // 2


def test_a_device_that_paces_itself_gets_what_it_takes() -> None:
    pacer = Pacer(11520.0)
    pacer.set_rate(11520.0, has_line_rate=False, is_paced=True)
    for number in range(100):
        assert pacer.allowance(number / 1000, 500, 200) == 200
        pacer.written(200, number / 1000)
    assert pacer.allowance(1.0, 500, 1 << 20) == 1024
    assert pacer.shared_bytes == 256
