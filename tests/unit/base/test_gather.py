"""When bytes that piled up leave: a stream in larger pieces than what has just begun."""

from __future__ import annotations

import pytest

from fakes.clock import FakeClock
from usbshare.base.gather import GATHER_S, PAUSE_S, STREAM_S, Gatherer

STREAM_GATHER_S = 0.006


class Sender:
    """Sends a byte whenever it may; nobody acknowledges."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.gatherer = Gatherer(STREAM_GATHER_S)
        self._offset = 0

    @property
    def wait_s(self) -> float:
        return self.gatherer.wait_s(b"x", self.clock())

    def send(self) -> None:
        self._offset += 1
        self.gatherer.sent(self._offset, self.clock())

    def stream(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self.clock() < end:
            self.clock.advance(self.wait_s)
            self.send()


def test_a_new_stream_is_gathered_for_a_short_time() -> None:
    sender = Sender()
    sender.send()
    assert sender.wait_s == pytest.approx(GATHER_S)


def test_a_stream_is_gathered_for_longer() -> None:
    sender = Sender()
    sender.send()
    sender.stream(2 * STREAM_S)
    assert sender.wait_s == pytest.approx(STREAM_GATHER_S)


def test_after_a_pause_it_starts_again() -> None:
    sender = Sender()
    sender.send()
    sender.stream(2 * STREAM_S)
    sender.clock.advance(2 * PAUSE_S)
    sender.send()
    assert sender.wait_s == pytest.approx(GATHER_S)


def test_the_end_of_a_line_and_what_is_acknowledged_never_wait_in_a_stream() -> None:
    sender = Sender()
    sender.send()
    sender.stream(2 * STREAM_S)
    assert sender.gatherer.is_due(b"ok\n")
    sender.gatherer.acknowledged(1 << 20)
    assert sender.wait_s == 0
