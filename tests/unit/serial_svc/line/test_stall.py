"""A device that stands still for too long is told of; one that moves, however slowly, is not."""

from __future__ import annotations

import asyncio

import pytest

from fakes.clock import FakeClock
from usbshare.serial_svc.line.stall import Stall

TIMEOUT_S = 10.0


class Watched:
    """A Stall whose timer is run by hand: `pass_time` looks whenever the timer would have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, timeout_s: float = TIMEOUT_S) -> None:
        self.clock = FakeClock()
        self.stalls = 0
        self.due: list[float] = []
        self.stall = Stall(timeout_s, self.clock, self._stalled)
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def refuse(self) -> None:
        self.stall.refused(self.clock())

    def wait(self, unsent: int) -> None:
        self.stall.waits(unsent, self.clock())

    def pass_time(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self.due and min(self.due) <= end:
            self.clock.now = self.due.pop(self.due.index(min(self.due)))
            self.stall._look()
        self.clock.now = end

    def _call_later(self, wait_s: float, callback: object) -> _Handle:
        self.due.append(self.clock() + wait_s)
        return _Handle(self.due, self.due[-1])

    def _stalled(self) -> None:
        self.stalls += 1


class _Handle:
    def __init__(self, due: list[float], when: float) -> None:
        self._due, self._when = due, when

    def cancel(self) -> None:
        self._due.remove(self._when)


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


async def test_a_device_that_refuses_for_so_long_has_stalled(watched: Watched) -> None:
    watched.refuse()
    watched.pass_time(TIMEOUT_S - 0.1)
    assert watched.stalls == 0
    watched.pass_time(0.2)
    assert watched.stalls == 1


async def test_a_byte_accepted_in_time_restarts_the_wait(watched: Watched) -> None:
    watched.refuse()
    watched.pass_time(9.0)
    watched.stall.took()
    watched.refuse()
    watched.pass_time(9.0)
    assert watched.stalls == 0
    watched.pass_time(2.0)
    assert watched.stalls == 1


async def test_refusals_in_a_row_are_one_wait(watched: Watched) -> None:
    for _ in range(9):
        watched.refuse()
        watched.pass_time(1.0)
    assert watched.stalls == 0
    watched.pass_time(1.1)
    assert watched.stalls == 1


async def test_a_driver_that_keeps_what_it_has_is_a_stall(watched: Watched) -> None:
    for _ in range(9):
        watched.wait(46)
        watched.pass_time(1.0)
    watched.wait(46)
    watched.pass_time(1.1)
    assert watched.stalls == 1


async def test_a_driver_that_lets_go_of_a_byte_in_time_is_none(watched: Watched) -> None:
    for unsent in range(60, 40, -1):
        watched.wait(unsent)
        watched.pass_time(9.0)
    assert watched.stalls == 0


async def test_urgent_bytes_that_a_driver_takes_are_no_sign_of_life(watched: Watched) -> None:
    for polls in range(12):
        watched.wait(46 + polls)
        watched.stall.took()
        watched.pass_time(1.0)
    assert watched.stalls == 1


async def test_a_line_without_waiting_bytes_does_not_stall(watched: Watched) -> None:
    watched.wait(46)
    watched.stall.rests()
    watched.pass_time(60.0)
    watched.wait(46)
    watched.pass_time(9.0)
    assert watched.stalls == 0


async def test_nothing_is_watched_without_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, timeout_s=0.0)
    watched.refuse()
    watched.wait(46)
    watched.pass_time(1e6)
    assert watched.stalls == 0
    assert watched.due == []


async def test_no_timer_is_left_at_the_end(watched: Watched) -> None:
    watched.refuse()
    watched.stall.end()
    assert watched.due == []
