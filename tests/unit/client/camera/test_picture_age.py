"""Ages across computers whose clocks differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.client.camera.picture_age import HostClock

OFFSET_S = 1_700_000_000.0


def test_before_any_answer_an_age_is_what_the_service_says() -> None:
    assert HostClock().age_s(captured_s=OFFSET_S, send_s=0.02, now=5.0) == 0.02


def test_an_age_is_never_younger_than_sending_and_the_way() -> None:
    clock = HostClock()
    clock.answered(OFFSET_S + 10, round_trip_s=0.1, now=10.0)
    captured_s = OFFSET_S + 10  # so that by the clocks it would have come before it was sent
    assert clock.age_s(captured_s, send_s=0.03, now=10.0) == pytest.approx(0.08)


def test_a_frame_that_took_long_is_as_old_as_the_clocks_say() -> None:
    clock = HostClock()
    clock.answered(OFFSET_S + 10, round_trip_s=0.0, now=10.0)
    assert clock.age_s(OFFSET_S + 9.5, send_s=0.03, now=10.0) == pytest.approx(0.5)


def test_the_quickest_answer_counts() -> None:
    clock = HostClock()
    clock.answered(OFFSET_S + 10.0, round_trip_s=0.004, now=10.002)
    clock.answered(OFFSET_S + 12.0, round_trip_s=1.0, now=12.9)  # most of it on the way back
    assert clock.half_round_trip_s == pytest.approx(0.002)
    assert clock.age_s(OFFSET_S + 12.8, 0.0, 13.0) == pytest.approx(0.2, abs=1e-5)


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    clock = HostClock()
    clock.answered(OFFSET_S + 10, round_trip_s=0.002, now=10.0)
    clock.answered(OFFSET_S + 3612, round_trip_s=0.02, now=12.0)
    assert clock.age_s(OFFSET_S + 3611.5, 0.0, 12.0) == pytest.approx(0.5, abs=0.02)


def test_another_host_is_another_clock() -> None:
    clock = HostClock()
    clock.answered(OFFSET_S, 0.5, 1.0)
    clock.forget()
    assert clock.half_round_trip_s == 0.0


@given(
    there_s=st.floats(0, 2),
    back_s=st.floats(0, 2),
    offset_s=st.floats(-1e6, 1e6),
    age_s=st.floats(0, 10),
)
def test_the_error_is_half_of_the_round_trip_at_most(
    there_s: float, back_s: float, offset_s: float, age_s: float
) -> None:
    clock, asked_at = HostClock(), 50.0
    answered_at = asked_at + there_s + back_s
    clock.answered(asked_at + there_s + offset_s, there_s + back_s, answered_at)
    captured_s = answered_at - age_s + offset_s
    told = clock.age_s(captured_s, 0.0, answered_at)
    assert abs(told - age_s) <= there_s + back_s + 1e-6
    assert told >= age_s - (there_s + back_s) / 2 - 1e-6
