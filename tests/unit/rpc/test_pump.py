"""The pump of a stream: at once, in order, one message at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import pytest

from fakes.waiting import until
from usbshare.rpc.pump import StreamPump


class Letters:
    """A source of letters; a number among them is a pause in seconds."""

    def __init__(self, *waiting: str | float) -> None:
        self.waiting = deque(waiting)

    def wait_s(self, now: float) -> float | None:
        if not self.waiting:
            return None
        head = self.waiting[0]
        if isinstance(head, str):
            return 0
        self.waiting.popleft()
        return head

    def take(self, now: float) -> str:
        return str(self.waiting.popleft())


class Stream:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = asyncio.Event()
        self.error: BaseException | None = None

    async def write(self, message: str) -> None:
        self.begun.append(message)
        await self.gate.wait()
        if self.error is not None:
            raise self.error


def pumped(source: Letters) -> tuple[StreamPump[str], Stream]:
    stream = Stream()
    return StreamPump(source, stream.write, asyncio.get_running_loop().time), stream


async def test_a_write_begins_within_the_kick() -> None:
    pump, stream = pumped(Letters("a", "b"))
    pump.kick()
    assert stream.begun == ["a"]


async def test_the_next_message_follows_when_the_last_is_taken() -> None:
    pump, stream = pumped(Letters("a", "b", "c"))
    pump.kick()
    pump.kick()
    assert stream.begun == ["a"]
    stream.gate.set()
    await until(lambda: stream.begun == ["a", "b", "c"])


async def test_a_message_that_is_not_due_yet_is_written_when_it_is() -> None:
    pump, stream = pumped(Letters(0.01, "a"))
    pump.kick()
    assert stream.begun == []
    await until(lambda: stream.begun == ["a"])


async def test_an_offer_is_taken_only_while_nothing_is_written() -> None:
    pump, stream = pumped(Letters())
    assert pump.offer("a")
    assert not pump.offer("b")
    stream.gate.set()
    await until(lambda: pump.writing is None)
    assert pump.offer("c")
    assert stream.begun == ["a", "c"]


async def test_a_write_that_fails_ends_the_pump_and_says_why() -> None:
    source = Letters("a", "b")
    pump, stream = pumped(source)
    stream.error = EOFError("gone")
    stream.gate.set()
    pump.kick()
    assert await asyncio.wait_for(pump.ended, 30) is stream.error
    pump.kick()
    assert stream.begun == ["a"]
    assert not pump.offer("c")


async def test_a_write_that_is_cancelled_ends_the_pump() -> None:
    pump, stream = pumped(Letters("a"))
    stream.error = asyncio.CancelledError()
    pump.kick()
    stream.gate.set()
    assert await asyncio.wait_for(pump.ended, 30) is stream.error


async def test_a_source_that_fails_ends_the_pump() -> None:
    class Broken(Letters):
        def take(self, now: float) -> str:
            raise ValueError("broken")

    pump, _ = pumped(Broken("a"))
    pump.kick()
    assert isinstance(await asyncio.wait_for(pump.ended, 30), ValueError)


async def test_a_closed_pump_writes_nothing_more() -> None:
    pump, stream = pumped(Letters("a", "b"))
    pump.kick()
    pump.close()
    stream.gate.set()
    await until(lambda: pump.writing is None)
    assert stream.begun == ["a"]


class DueAt:
    """A source that has one message, at a time; it counts how often it is looked at."""

    def __init__(self, due_at: float) -> None:
        self.looks = 0
        self._due_at = due_at

    def wait_s(self, now: float) -> float | None:
        self.looks += 1
        return max(0.0, self._due_at - now) if self._due_at else None

    def take(self, now: float) -> str:
        self._due_at = 0.0
        return "due"


@pytest.mark.parametrize("wait_s", [0.0004, 0.0014, 0.0024, 0.0034])
def test_work_due_between_two_milliseconds_is_not_polled_in_each_round(
    wait_s: float,
) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def looks() -> int:
        source = DueAt(time.monotonic() + wait_s)
        stream = Stream()
        pump = StreamPump(source, stream.write, time.monotonic)
        pump.kick()
        await until(lambda: stream.begun == ["due"])
        return source.looks

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert max(runner.run(looks()) for _ in range(20)) <= 4


async def test_news_that_change_nothing_leave_the_timer() -> None:
    source, stream = DueAt(time.monotonic() + 0.02), Stream()
    pump = StreamPump(source, stream.write, time.monotonic)
    for _ in range(5):
        pump.kick()
    await until(lambda: stream.begun == ["due"])


async def test_work_due_sooner_does_not_wait_for_earlier_work() -> None:
    source, stream = Letters(3600.0, 0.001, "a"), Stream()
    pump = StreamPump(source, stream.write, asyncio.get_running_loop().time)
    pump.kick()
    assert stream.begun == []
    pump.kick()
    await until(lambda: stream.begun == ["a"])
