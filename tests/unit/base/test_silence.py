"""How long the other side of a link has said nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from usbshare.base.silence import Silence


class Time:
    """Goes on when somebody sleeps, by more than asked where the loop stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.stalls = 0.0
        self.then: Callable[[], None] = lambda: None
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.stalls
        if self.stalls:
            self.stalls = 0.0
            self.then()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


async def test_silence_is_noticed_when_its_limit_is_reached(time: Time) -> None:
    assert await Silence(2.0, time.clock).too_long() == pytest.approx(2.0)
    assert time.now == pytest.approx(102.0)


async def test_each_message_restarts_the_silence(time: Time) -> None:
    link = Silence(2.0, time.clock)
    time.now += 1.9
    link.heard()
    await link.too_long()
    assert time.now == pytest.approx(103.9)


async def test_a_loop_that_stood_still_heard_nothing_by_its_own_fault(time: Time) -> None:
    link = Silence(2.0, time.clock)
    time.stalls = 30.0
    await link.too_long()
    assert time.now == pytest.approx(132.0)


async def test_a_message_after_a_stalled_loop_gives_no_more_than_the_limit(
    time: Time,
) -> None:
    link = Silence(2.0, time.clock)
    time.stalls, time.then = 30.0, link.heard
    await link.too_long()
    assert time.now == pytest.approx(132.5)


async def test_while_nothing_is_read_nobody_is_silent(time: Time) -> None:
    link = Silence(2.0, time.clock)
    with link.busy():
        time.now += 60.0
    await link.too_long()
    assert time.now == pytest.approx(162.0)


async def test_while_it_is_busy_the_wait_does_not_end() -> None:
    link = Silence(0.02)
    with link.busy():
        waiting = asyncio.create_task(link.too_long())
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
    async with asyncio.timeout(60):
        assert await waiting >= 0.02
