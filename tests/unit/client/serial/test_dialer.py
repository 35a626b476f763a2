"""One attempt at a time, which grows only where its time was not enough."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.client.connection_limiter import GaveWayError, Turns
from usbshare.client.serial import dialer as module
from usbshare.client.serial.dialer import FIRST_ATTEMPT_S, Dialer


class Host:
    """Connections to it are made when it says so; it remembers every attempt."""

    def __init__(self) -> None:
        self.now = 0.0
        self.attempts: list[float] = []
        self.under_way = self.most_under_way = 0
        self.lasts_s = 0.0
        self.refuses = ""
        self.why: str | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    def make(self, attempt_s: float) -> Any:
        self.attempts.append(attempt_s)
        return Client(self, attempt_s)

    def dialer(self) -> Dialer:
        return Dialer(self.make, Turns(), lambda: self.now)


class Client:
    target = "host:1"

    def __init__(self, host: Host, attempt_s: float) -> None:
        self._host = host
        self._attempt_s = attempt_s
        self.is_connected = self.is_closed = False

    async def connect(self) -> None:
        host = self._host
        host.under_way += 1
        host.most_under_way = max(host.most_under_way, host.under_way)
        try:
            await host.answers.wait()
            host.now += min(host.lasts_s, self._attempt_s)
            if host.refuses or host.lasts_s >= self._attempt_s:
                raise ConnectionRefusedByPeerError(host.refuses or "out of time")
            self.is_connected = True
        finally:
            host.under_way -= 1

    async def why_unreachable(self) -> str | None:
        return self._host.why

    async def close(self) -> None:
        self.is_closed, self.is_connected = True, False


async def test_attempts_wait_for_one_another() -> None:
    host = Host()
    dialer = host.dialer()
    host.answers.clear()
    attempts = [asyncio.create_task(dialer.connect()) for _ in range(5)]
    await until(lambda: host.under_way == 1)
    host.answers.set()
    clients = await asyncio.gather(*attempts)
    assert host.most_under_way == 1
    assert len(set(map(id, clients))) == 5
    assert dialer.living[0] is clients[-1], "the newest first"


async def test_an_attempt_that_ran_out_of_its_time_makes_the_next_longer() -> None:
    host = Host()
    dialer = host.dialer()
    host.lasts_s = 25.0
    for _ in range(2):
        with pytest.raises(ConnectionRefusedByPeerError, match="out of time"):
            await dialer.connect()
    await dialer.connect()
    host.lasts_s = 0.0
    await dialer.connect()
    longer = [FIRST_ATTEMPT_S, 2 * FIRST_ATTEMPT_S, 4 * FIRST_ATTEMPT_S]
    assert host.attempts == [*longer, FIRST_ATTEMPT_S], "after a success it begins anew"


async def test_an_attempt_that_is_refused_at_once_lengthens_no_later_one() -> None:
    host = Host()
    host.refuses = "connection refused"
    dialer = host.dialer()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedByPeerError, match="connection refused"):
            await dialer.connect()
    assert host.attempts == [FIRST_ATTEMPT_S] * 3


async def test_a_service_that_is_only_slow_is_not_given_up_at_the_first_attempt() -> None:
    host = Host()
    host.lasts_s = 15.0
    client = await host.dialer().connect(looks_closer=True)
    assert client.is_connected
    assert host.attempts == [FIRST_ATTEMPT_S, 2 * FIRST_ATTEMPT_S]


async def test_a_closer_look_says_why_there_is_no_connection() -> None:
    host = Host()
    host.refuses, host.why = "14", "nothing listens there"
    with pytest.raises(ConnectionRefusedByPeerError, match="nothing listens there"):
        await host.dialer().connect(looks_closer=True)


async def test_an_attempt_that_leads_nowhere_is_abandoned() -> None:
    host = Host()
    dialer = host.dialer()
    host.answers.clear()
    attempt = asyncio.create_task(dialer.connect())
    await until(lambda: host.under_way == 1)
    dialer.abandon()
    with pytest.raises(ConnectionRefusedByPeerError, match="seen again"):
        await attempt
    host.answers.set()
    assert (await dialer.connect()).is_connected


async def test_an_attempt_that_has_just_begun_is_not_abandoned_for_its_age() -> None:
    host = Host()
    dialer = host.dialer()
    host.answers.clear()
    attempt = asyncio.create_task(dialer.connect())
    await until(lambda: host.under_way == 1)
    host.now += 4.0
    dialer.abandon(5.0)
    host.answers.set()
    assert (await attempt).is_connected


async def test_a_cancelled_waiter_leaves_the_turn_to_the_next() -> None:
    host = Host()
    dialer = host.dialer()
    host.answers.clear()
    first, second = (asyncio.create_task(dialer.connect()) for _ in range(2))
    await until(lambda: host.under_way == 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    host.answers.set()
    assert (await second).is_connected
    assert host.most_under_way == 1


async def test_connections_that_are_closed_are_forgotten() -> None:
    dialer = Host().dialer()
    clients = [await dialer.connect() for _ in range(module.KEPT + 3)]
    await clients[-1].close()
    assert clients[-1] not in dialer.living
    assert clients[-2] in dialer.living


async def test_work_that_gives_way_ends_when_a_turn_is_wanted() -> None:
    turns, begun = Turns(), asyncio.Event()

    async def renew() -> None:
        begun.set()
        await asyncio.Event().wait()

    renewal = asyncio.create_task(turns.give_way(renew()))
    await begun.wait()
    async with turns.turn():
        with pytest.raises(GaveWayError):
            await renewal


async def test_work_that_gives_way_does_not_begin_during_a_turn() -> None:
    turns = Turns()

    async def renew() -> str:
        return "renewed"

    async with turns.turn():
        with pytest.raises(GaveWayError):
            await turns.give_way(renew())
    assert await turns.give_way(renew()) == "renewed"
