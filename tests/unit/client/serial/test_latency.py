"""Round trips of heartbeats."""

from __future__ import annotations

import pytest

from usbshare.client.serial.latency import KEPT, Latency


def latency(*seconds: float) -> Latency:
    made = Latency()
    for value in seconds:
        made.add(value)
    return made


def test_nothing_is_known_before_the_first_beat() -> None:
    assert latency().typical_s == 0
    assert latency().summary() is None


@pytest.mark.parametrize(
    ("seconds", "typical"),
    [
        ((0.3,), 0.3),
        ((0.3, 0.1), 0.1),
        ((0.1, 0.9, 0.1, 0.1), 0.1),
        ((9.0, 9.0, 9.0, 0.1, 0.1, 0.1), 0.1),
        ((0.1, 0.1, 0.5, 0.5, 0.5), 0.5),
    ],
)
def test_one_late_heartbeat_counts_little_and_a_slower_link_soon(
    seconds: tuple[float, ...], typical: float
) -> None:
    assert latency(*seconds).typical_s == typical


def test_the_summary_is_of_the_last_hundred() -> None:
    summary = latency(5.0, *[0.001] * (KEPT - 1), 0.003).summary()
    assert summary is not None
    assert (summary.now_ms, summary.min_ms, summary.max_ms) == (3.0, 1.0, 3.0)
    assert summary.mean_ms == pytest.approx(1.02)


def test_beats_behind_our_own_bytes_do_not_count_as_typical() -> None:
    made = latency(0.05, 0.06)
    for _ in range(KEPT):
        made.add(1.5, was_queued=True)
    assert made.typical_s == 0.05


def test_a_link_that_became_faster_is_noticed_behind_our_own_bytes_too() -> None:
    made = latency(0.5)
    for _ in range(5):
        made.add(0.04, was_queued=True)
        made.add(0.03, was_queued=True)
    assert made.typical_s < 0.05


def test_the_first_beat_of_a_session_is_shown_only_until_there_is_another() -> None:
    made = Latency()
    made.add(0.0681, is_first=True)
    first = made.summary()
    assert first is not None
    assert first.max_ms == 68.1
    made.add(0.0012)
    summary = made.summary()
    assert summary is not None
    assert (summary.min_ms, summary.mean_ms, summary.max_ms) == (1.2, 1.2, 1.2)
