"""How full the queue is: told once another band has lasted, not at each swing."""

from __future__ import annotations

import asyncio

from fakes.virtual_time import run_in_virtual_time
from usbshare.serial_svc.line.scheduler import Band, Ordering, Queued, Scheduler
from usbshare.serial_svc.sessions.events import QueueState, SessionEvent
from usbshare.serial_svc.sessions.queue_state import LASTS_S, QueueNews

CONTROL = "control"


class Port:
    """A queue of some depth, and what was told of it."""

    def __init__(self) -> None:
        self.told: list[Band] = []
        self._clock = asyncio.get_running_loop().time
        self._scheduler = Scheduler(max_commands=100, max_bytes=65536, promote_after_s=2.0)
        self._scheduler.add_source(CONTROL, Ordering.PROGRAM)
        self._news = QueueNews(self._scheduler, self._clock, self._tell)

    def fill(self, depth: int) -> None:
        self._scheduler.drop()
        for number in range(depth):
            self._scheduler.add(Queued(CONTROL, number, None, b"x", self._clock()))
        self._news.changed()

    def _tell(self, event: SessionEvent) -> None:
        assert isinstance(event, QueueState)
        self.told.append(event.band)


def test_another_band_that_lasts_is_reported_once() -> None:
    async def play() -> list[Band]:
        port = Port()
        for depth in (6, 7, 30, 8):
            port.fill(depth)
        await asyncio.sleep(2 * LASTS_S)
        port.fill(0)
        await asyncio.sleep(2 * LASTS_S)
        return port.told

    assert run_in_virtual_time(play()) == [Band.HIGH, Band.NORMAL]


def test_a_swing_between_two_bands_is_not_reported() -> None:
    async def play() -> list[Band]:
        port = Port()
        for _ in range(100):
            port.fill(6)
            await asyncio.sleep(LASTS_S / 8)
            port.fill(3)
            await asyncio.sleep(LASTS_S / 8)
        await asyncio.sleep(2 * LASTS_S)
        return port.told

    assert len(run_in_virtual_time(play())) <= 26
