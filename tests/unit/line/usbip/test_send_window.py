"""What is under way to a device behind a network: all that it takes, and little if it waits."""

from __future__ import annotations

import heapq
from math import inf

import pytest

from usbshare.line.usbip.send_window import LEAST_BYTES, MOST_BYTES, SMALL_BYTES, SendWindow

LINE = 20


def run(round_trip_s: float, device_bytes_per_s: float, seconds: float = 5.0) -> tuple[float, int]:
    """Send lines for so long; return bytes per second, and the most ahead of a stop at the end.

    The device takes bytes at its rate, one write after the other; what is ahead is what has
    reached it and is not taken.
    """
    window, answers = SendWindow(), list[tuple[float, int, float]]()
    now, free_at, taken, ahead = 0.0, 0.0, 0, 0
    while now < seconds:
        while (size := window.room(LINE)) and len(answers) < 16:
            window.sent(size)
            arrives_at = now + round_trip_s / 2
            free_at = max(free_at, arrives_at) + size / device_bytes_per_s
            heapq.heappush(answers, (free_at + round_trip_s / 2, size, now))
            if now > seconds / 2:
                ahead = max(ahead, round((free_at - arrives_at) * device_bytes_per_s))
        answered_at, size, sent_at = heapq.heappop(answers)
        now = answered_at
        window.answered(size, now - sent_at, now)
        taken += size
    return taken / now, ahead


@pytest.mark.parametrize(
    ("round_trip_s", "at_least"),
    [(0.0005, 100_000), (0.001, 100_000), (0.005, 50_000), (0.01, 25_000), (0.02, 15_000)],
)
def test_a_device_that_takes_all_gets_all_that_the_network_carries(
    round_trip_s: float, at_least: float
) -> None:
    bytes_per_s, ahead = run(round_trip_s, 1e6)
    assert bytes_per_s >= at_least
    assert ahead <= MOST_BYTES


@pytest.mark.parametrize("round_trip_s", [0.0005, 0.005, 0.02])
@pytest.mark.parametrize("rate", [1_000, 5_000, 11_520])
def test_a_device_that_makes_us_wait_is_kept_busy_with_little_ahead_of_a_stop(
    round_trip_s: float, rate: float
) -> None:
    bytes_per_s, ahead = run(round_trip_s, rate)
    assert bytes_per_s >= 0.9 * min(rate, LEAST_BYTES / round_trip_s)
    assert ahead <= 2 * LEAST_BYTES


def test_the_shortest_bytes_are_sent_whatever_is_under_way() -> None:
    window = SendWindow()
    window.sent(window.room(LEAST_BYTES))
    assert window.room(LINE) == 0
    assert window.room(1) == 1
    assert window.room(SMALL_BYTES) == SMALL_BYTES


def test_unlinked_bytes_leave_the_send_window() -> None:
    window = SendWindow()
    window.sent(window.room(LEAST_BYTES))
    window.taken_back()
    assert window.room(LEAST_BYTES) == LEAST_BYTES


def test_a_program_that_sends_little_widens_nothing() -> None:
    window = SendWindow()
    for number in range(1000):
        window.sent(window.room(LINE))
        window.answered(LINE, 0.001, number)
    assert window.size_bytes == LEAST_BYTES


def test_a_longer_way_is_learned_within_twenty_seconds() -> None:
    window = SendWindow()
    assert window.round_trip_s == inf
    for number in range(300):
        window.sent(LINE)
        window.answered(LINE, 0.001 if number < 100 else 0.030, number / 10)
    assert window.round_trip_s == 0.030


def test_delays_of_a_radio_link_do_not_close_the_window() -> None:
    window = SendWindow()
    for number in range(600):
        while window.room(LINE):
            window.sent(LINE)
        window.answered(LINE, 0.004 if number % 3 else 0.030, number / 100)
    assert window.size_bytes > MOST_BYTES * 0.95
