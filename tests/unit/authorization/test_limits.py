"""What one identity may use: rates by token buckets, counts of streams and connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pytest

from usbshare.authorization import limits as limits_module
from usbshare.authorization.api.interceptor import (
    COUNT_EVERY_S,
    MOST_UNCOUNTED_BYTES,
    PacedContext,
    paced_requests,
)
from usbshare.authorization.limits import FORGOTTEN_AFTER_S, Limits
from usbshare.base.errors import LimitError


@dataclass(slots=True)
class Table:
    connections: int = 2
    streams: int = 3
    requests_per_s: float = 8  # a power of two, so that times are exact
    commands_per_s: float = 100
    bytes_per_s: float = 1000


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now += duration_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(Table, clock)


async def test_two_seconds_of_requests_may_come_at_once(limits: Limits, clock: Clock) -> None:
    for _ in range(16):
        await limits.admit_request("office-pc")
    assert clock.slept == []


async def test_requests_that_come_early_wait_for_their_turn(limits: Limits, clock: Clock) -> None:
    for _ in range(32):
        await limits.admit_request("office-pc")
    assert clock.now == pytest.approx(2.0)


async def test_requests_that_come_far_too_early_are_refused_late(
    limits: Limits, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    async def stand_still(duration_s: float) -> None:
        clock.slept.append(duration_s)

    monkeypatch.setattr(asyncio, "sleep", stand_still)
    for _ in range(24):
        await limits.admit_request("office-pc")
    with pytest.raises(LimitError, match="'office-pc' makes more than 8 requests per second"):
        await limits.admit_request("office-pc")
    assert clock.slept[-1] == 1.0


async def test_refused_requests_do_not_count(
    limits: Limits, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    async def stand_still(duration_s: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", stand_still)
    for _ in range(24):
        await limits.admit_request("office-pc")
    for _ in range(100):
        with pytest.raises(LimitError):
            await limits.admit_request("office-pc")
    clock.now += 0.2
    await limits.admit_request("office-pc")


async def test_another_identity_is_not_slowed(limits: Limits, clock: Clock) -> None:
    for _ in range(20):
        await limits.admit_request("office-pc")
    slept = list(clock.slept)
    await limits.admit_request("laptop")
    assert clock.slept == slept


async def test_a_stop_does_not_wait_for_the_requests_before_it(
    limits: Limits, clock: Clock
) -> None:
    for _ in range(20):
        await limits.admit_request("office-pc")
    slept = list(clock.slept)
    await limits.admit_request("office-pc", lane="Stop")
    assert clock.slept == slept


async def test_no_policy_makes_stops_wait(limits: Limits, clock: Clock) -> None:
    for _ in range(100):
        await limits.admit_request("office-pc", lane="Stop")
    assert clock.slept == []


async def test_even_stops_are_limited(limits: Limits, clock: Clock) -> None:
    for _ in range(400):
        await limits.admit_request("office-pc", lane="Stop")
    assert clock.now == pytest.approx(2.0)


async def test_only_so_many_calls_wait(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = asyncio.Event()

    async def sleep(_duration_s: float) -> None:
        await forever.wait()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(limits_module, "MOST_WAITING", 5)
    for _ in range(16):
        await limits.admit_request("office-pc")
    waiting = [asyncio.ensure_future(limits.admit_request("office-pc")) for _ in range(6)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    told = [str(each.exception()) for each in done]
    assert told == ["5 calls from the same caller are already waiting"]
    forever.set()
    await asyncio.gather(*waiting, return_exceptions=True)


def test_streams_are_counted_and_given_back(limits: Limits) -> None:
    with ExitStack() as streams:
        for _ in range(3):
            streams.enter_context(limits.open_stream("office-pc", "192.0.2.7:1"))
        with pytest.raises(LimitError, match="has 3 streams open"):
            streams.enter_context(limits.open_stream("office-pc", "192.0.2.7:1"))
        with limits.open_stream("laptop", "192.0.2.8:1"):
            pass
    with limits.open_stream("office-pc", "192.0.2.7:1"):
        pass


def test_connections_are_counted_and_given_back(limits: Limits) -> None:
    with ExitStack() as streams:
        for port in (1, 2):
            streams.enter_context(limits.open_stream("office-pc", f"192.0.2.7:{port}"))
        with pytest.raises(LimitError, match="uses 2 connections"):
            streams.enter_context(limits.open_stream("office-pc", "192.0.2.7:3"))
        streams.enter_context(limits.open_stream("office-pc", "192.0.2.7:2"))
    with limits.open_stream("office-pc", "192.0.2.7:3"):
        pass


@pytest.mark.parametrize(("commands", "size"), [(200, 0), (0, 2000)])
def test_reads_of_a_stream_are_paced_by_messages_and_bytes(
    limits: Limits, clock: Clock, commands: int, size: int
) -> None:
    assert limits.pace("office-pc", commands, size) == 0
    assert limits.pace("office-pc", commands, size) == pytest.approx(2.0)
    clock.now += 4.0
    assert limits.pace("office-pc", commands, size) == 0


def test_a_long_pause_saves_no_more_than_two_seconds(limits: Limits, clock: Clock) -> None:
    clock.now += 3600
    limits.pace("office-pc", 200, 0)
    assert limits.pace("office-pc", 50, 0) == pytest.approx(0.5)


def test_limits_follow_the_policy(clock: Clock) -> None:
    table = Table()
    limits = Limits(lambda: table, clock)
    limits.pace("office-pc", 300, 0)
    table.commands_per_s = 1000
    clock.now += 1.0
    assert limits.pace("office-pc", 100, 0) == pytest.approx(0.1)


def test_an_idle_key_is_forgotten(limits: Limits, clock: Clock) -> None:
    for number in range(1000):
        limits.pace(f"pc-{number}", 1, 1)
    clock.now += FORGOTTEN_AFTER_S + 1
    limits.pace("late", 1, 1)
    assert len(limits._usages) == 1


class Message:
    """A request of so many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def ByteSize(self) -> int:
        return self._size


class Context:
    """A servicer's context from which messages come."""

    def __init__(self, *messages: Any) -> None:
        self._messages = iter(messages)

    async def read(self) -> Any:
        return next(self._messages, grpc.aio.EOF)

    async def write(self, message: Any) -> None:
        raise NotImplementedError

    def peer(self) -> str:
        return "ipv4:192.0.2.7:1"


async def test_a_paced_context_waits_before_it_reads_on(limits: Limits, clock: Clock) -> None:
    context: Any = PacedContext(
        cast("Any", Context(Message(2500), Message(10))),
        lambda count, size: limits.pace("office-pc", count, size),
    )
    assert (await context.read()).ByteSize() == 2500
    assert clock.slept == []
    await context.read()
    assert clock.slept == [pytest.approx(0.5)]
    assert await context.read() is grpc.aio.EOF
    assert context.peer() == "ipv4:192.0.2.7:1"


async def test_messages_close_together_are_counted_together_and_in_full(
    limits: Limits, clock: Clock
) -> None:
    counted: list[tuple[int, int]] = []

    def pace(requests: int, size: int) -> float:
        counted.append((requests, size))
        return 0.0

    sizes = [1] * 10 + [MOST_UNCOUNTED_BYTES] + [3] * 5
    messages = Context(*[Message(size) for size in sizes])
    context: Any = PacedContext(cast("Any", messages), pace, clock)
    while await context.read() is not grpc.aio.EOF:
        clock.now += COUNT_EVERY_S / 4
    assert 1 < len(counted) < len(sizes)
    assert max(size for _, size in counted) < MOST_UNCOUNTED_BYTES + 10
    context.settle()
    assert (sum(each for each, _ in counted), sum(size for _, size in counted)) == (
        len(sizes),
        sum(sizes),
    )


async def test_paced_requests_wait_too(limits: Limits, clock: Clock) -> None:
    async def sent() -> AsyncIterator[Message]:
        for size in (2500, 10):
            yield Message(size)

    paced = paced_requests(sent(), lambda count, size: limits.pace("office-pc", count, size))
    sizes = [each.ByteSize() async for each in paced]
    assert sizes == [2500, 10]
    assert clock.slept[0] == pytest.approx(0.5)
