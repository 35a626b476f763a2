"""The window for a program's bytes follows the network, not the queue that it makes there."""

from __future__ import annotations

import pytest

from usbshare.client.serial.send_window import FIRST_BYTES, LEAST_BYTES, QUEUE_S, SendWindow

USUAL_S = 0.05


class SlowNetwork:
    """Carries so many bytes per second out of one queue, which a sender keeps as full as it may."""

    def __init__(self, bytes_per_s: float, credit_bytes: int) -> None:
        self.window = SendWindow()
        self._bytes_per_s = bytes_per_s
        self._credit_bytes = credit_bytes

    def beat(self) -> float:
        """Return for how long a beat was queued."""
        ahead = min(self._credit_bytes, self.window.limit_bytes)
        queued_s = ahead / self._bytes_per_s
        self.window.answered(USUAL_S + queued_s, USUAL_S, ahead)
        return queued_s


@pytest.mark.parametrize("bytes_per_s", [8_000.0, 64_000.0])
def test_a_network_that_is_slower_than_the_line_is_not_filled(bytes_per_s: float) -> None:
    network = SlowNetwork(bytes_per_s, 64 * 1024)
    queued = [network.beat() for _ in range(100)]
    assert max(queued) <= 4 * QUEUE_S
    assert min(queued[20:]) >= QUEUE_S / 3, "it is used all the same"


def test_a_network_that_is_fast_enough_has_no_limit() -> None:
    network = SlowNetwork(10_000_000.0, 64 * 1024)
    for _ in range(6):
        network.beat()
    assert network.window.limit_bytes >= 64 * 1024


def test_a_single_late_heartbeat_changes_nothing() -> None:
    window = SendWindow()
    for late_s in (0.0, 5.0, 0.0, 5.0, 0.0):
        before = window.limit_bytes
        window.answered(USUAL_S + late_s, USUAL_S, 64 * 1024)
        assert window.limit_bytes >= before


def test_a_round_trip_that_grew_on_its_own_leaves_enough_to_find_out() -> None:
    window = SendWindow()
    for _ in range(20):
        window.answered(3.0, USUAL_S, 64 * 1024)
    assert window.limit_bytes >= LEAST_BYTES


def test_another_session_starts_again() -> None:
    network = SlowNetwork(8_000.0, 64 * 1024)
    for _ in range(3):
        network.beat()
    network.window.begin()
    assert network.window.limit_bytes == FIRST_BYTES
