"""A stop goes out on the first connection that delivers it, and on no more than that needs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError, NotFoundError
from usbshare.bridge.stop.delivery import Delivery
from usbshare.client.serial.messages import SendRealtime

PATIENCE_S = 0.1
NEVER_S = 1000.0


class Connection:
    def __init__(self, *, answers: bool = True, failures: list[Exception] | None = None) -> None:
        self.requests: list[bytes] = []
        self.answers = asyncio.Event()
        if answers:
            self.answers.set()
        self._failures = failures or []

    async def send_realtime(
        self,
        port_id: str,
        data: bytes,
        session_id: str,
        _: float,
        *,
        first_number: int,
        epoch: int,
    ) -> None:
        self.requests.append(data)
        await self.answers.wait()
        if self._failures:
            raise self._failures.pop(0)


class Dialer:
    def __init__(self, *living: Connection) -> None:
        self.made = list(living)
        self.hurries = 0
        self._news = asyncio.Event()

    @property
    def living(self) -> list[Any]:
        return list(reversed(self.made))

    def hurry(self) -> None:
        self.hurries += 1

    def connected(self, connection: Connection) -> None:
        self.made.append(connection)
        self._news.set()

    async def news(self, wait_s: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return


def insist(dialer: Dialer, first: Any = None, patience_s: float = PATIENCE_S) -> asyncio.Task[None]:
    delivery = Delivery(dialer, "laser", "s1")
    return asyncio.create_task(delivery.insist(SendRealtime(b"!", 1, 1), lambda: first, patience_s))


async def test_one_connection_that_answers_is_enough() -> None:
    session, line = Connection(), Connection()
    await insist(Dialer(line, session), line)
    assert (line.requests, session.requests) == ([b"!"], [])


async def test_a_connection_that_does_not_answer_in_time_is_not_waited_for() -> None:
    session, dead = Connection(), Connection(answers=False)
    await insist(Dialer(session, dead), dead)
    assert (dead.requests, session.requests) == ([b"!"], [b"!"])


async def test_a_slow_connection_still_counts() -> None:
    slow, dead = Connection(answers=False), Connection(answers=False)
    sending = insist(Dialer(slow, dead), slow)
    await until(lambda: dead.requests)
    slow.answers.set()
    await sending
    assert slow.requests == [b"!"]


async def test_a_connection_that_is_new_is_taken_at_once() -> None:
    dead = Connection(answers=False)
    dialer = Dialer(dead)
    sending = insist(dialer, dead, NEVER_S)
    await until(lambda: dead.requests)
    dialer.connected(new := Connection())
    await sending
    assert new.requests == [b"!"]


async def test_without_a_connection_one_is_asked_for() -> None:
    dialer = Dialer()
    sending = insist(dialer)
    await until(lambda: dialer.hurries)
    dialer.connected(Connection())
    await sending


@pytest.mark.parametrize("failure", [DeviceError("no device"), ConnectionRefusedByPeerError("cut")])
async def test_a_temporary_failure_is_tried_again(failure: Exception) -> None:
    line = Connection(failures=[failure, failure])
    await insist(Dialer(line), line)
    assert line.requests == [b"!"] * 3


async def test_a_refusal_ends_it() -> None:
    line = Connection(failures=[NotFoundError("no such port")])
    with pytest.raises(NotFoundError):
        await insist(Dialer(line), line)
    assert line.requests == [b"!"]


async def test_an_abandoned_attempt_leaves_no_call_behind() -> None:
    others = asyncio.all_tasks()
    dead = Connection(answers=False)
    sending = insist(Dialer(dead), dead)
    await until(lambda: dead.requests)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert asyncio.all_tasks() <= others
