"""What is told of how pictures come."""

from __future__ import annotations

import pytest

from usbshare.client.camera.messages import Frame, ServiceDrops
from usbshare.client.camera.stream_stats import Drops, Measures


def frame(sequence: int, *, is_placeholder: bool = False) -> Frame:
    return Frame(sequence, 0.0, 0, 16, 16, bytes(1000), is_placeholder=is_placeholder)


def test_rates_are_those_of_the_last_two_seconds() -> None:
    measures = Measures()
    for number in range(90):
        measures.arrived(frame(number), 0.01, number / 30)
    assert measures.fps(89 / 30) == pytest.approx(30, abs=0.5)
    assert measures.bytes_per_s(89 / 30) == pytest.approx(30_000, abs=500)
    assert measures.fps(10.0) == 0
    assert measures.bytes_per_s(10.0) == 0


def test_the_first_second_is_no_second_of_silence() -> None:
    measures = Measures()
    for number in range(31):
        measures.arrived(frame(number), 0.01, 100 + number / 30)
    assert measures.fps(101.0) == pytest.approx(31, abs=0.5)


def test_a_placeholder_is_no_frame_and_has_no_age() -> None:
    measures = Measures()
    measures.arrived(frame(1, is_placeholder=True), 0.5, 1.0)
    assert (measures.frames, measures.fps(1.0), measures.ages) == (0, 0, None)
    assert measures.bytes_per_s(1.0) > 0


def test_ages_are_now_least_mean_and_most() -> None:
    measures = Measures()
    for age_s in (0.010, 0.030, 0.020):
        measures.arrived(frame(1), age_s, 1.0)
    ages = measures.ages
    assert ages is not None
    assert (ages.now_ms, ages.min_ms, ages.mean_ms, ages.max_ms) == (20, 10, 20, 30)


def test_drops_of_streams_that_ended_are_kept() -> None:
    measures = Measures()
    measures.service_counts(ServiceDrops(rate=5, encoder=1))
    measures.stream_ended()
    measures.stream_ended()
    measures.service_counts(ServiceDrops(rate=2))
    measures.not_sent(3)
    measures.late()
    measures.unusable()
    measures.http_skipped(4)
    assert measures.drops == Drops(window=3, rate=7, encoder=1, late=1, unusable=1, http=4)


def test_kept_statistics_are_bounded() -> None:
    measures = Measures()
    for number in range(100_000):
        measures.arrived(frame(number), 0.01, 1.0)
    assert measures.fps(1.0) <= 1024 / 0.2
