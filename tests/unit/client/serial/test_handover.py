"""A session that moves to another connection: nothing is lost, sent twice, or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fakes.link_bench import Bench, Service, Stream
from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.client.serial import handover
from usbshare.client.serial.messages import (
    DataEvent,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    LinesEvent,
    SendCommand,
    SendRealtime,
)
from usbshare.line.profiles import GRBL
from usbshare.line.settings import ModemLines

LINE = b"G0 X1\n"
RINGS = LinesEvent(ModemLines(ri=True))


class Way:
    """Another connection to the service, which ends a session's old stream when it takes it up."""

    def __init__(self, service: Service) -> None:
        self.is_closed = False
        self.refuses = False
        self.at_take_over: Callable[[Stream, Stream], None] = lambda _old, _new: None
        self._service = service

    async def open_session(self, port_id: str, **choice: object) -> Stream:
        if self.refuses:
            raise ConnectionRefusedByPeerError("went away in that moment")
        old = self._service.streams[-1]
        new = await self._service.open_session(port_id, **choice)  # type: ignore[arg-type]
        self.at_take_over(old, new)
        old.end()
        return new

    async def explain(self, error: Exception) -> Exception:
        return ConnectionRefusedByPeerError(str(error))

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    made.service.window_s = 30.0
    await made.start()
    yield made
    assert made.running is not None
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


@pytest.fixture
def way(bench: Bench) -> Way:
    return Way(bench.service)


async def write(bench: Bench, data: bytes = LINE) -> None:
    """Let the program write, and the service take it."""
    before = len(bench.sent(SendCommand))
    bench.upstream.add_program(data)
    bench.link.wake()
    await until(lambda: len(bench.sent(SendCommand)) > before)
    bench.service.accepted_offset += len(data)


async def test_a_session_continues_over_the_other_connection(bench: Bench, way: Way) -> None:
    await write(bench)
    assert await bench.link.move(way)  # type: ignore[arg-type]
    assert bench.service.asked == [("", 0), ("secret", 0)]
    await write(bench)
    assert [sent.offset for sent in bench.sent(SendCommand)] == [0, len(LINE)]
    assert [resumed.resent_bytes for resumed in bench.listener.resumed] == [0]
    assert bench.listener.losses == []
    assert not way.is_closed


async def test_a_link_moves_as_often_as_requested(bench: Bench) -> None:
    ways = [Way(bench.service) for _ in range(3)]
    for each in ways:
        assert await bench.link.move(each)  # type: ignore[arg-type]
        await write(bench)
    assert [each.is_closed for each in ways] == [True, True, False]


async def test_bytes_written_during_a_handover_wait_and_are_not_dropped(
    bench: Bench, way: Way
) -> None:
    bench.upstream.port_changed(epoch=1, profile=GRBL)
    await write(bench)
    bench.service.answers_heartbeats = False
    asked = len(bench.sent(Heartbeat))
    move = asyncio.create_task(bench.link.move(way))  # type: ignore[arg-type]
    await until(lambda: len(bench.sent(Heartbeat)) > asked)
    last = bench.sent(Heartbeat)[-1]
    bench.upstream.add_program(LINE + b"!")
    bench.link.wake()
    assert not bench.link.pass_through(b"x")
    assert len(bench.sent(SendCommand)) == 1
    assert bench.sent(SendRealtime) == []
    bench.service.answers_heartbeats = True
    bench.service.streams[-1].say(HeartbeatEvent(last.id))
    assert await move
    await until(lambda: len(bench.sent(SendCommand)) == 2)
    assert [sent.data for sent in bench.sent(SendRealtime)] == [b"!"]
    assert bench.upstream.dropped_realtime_bytes == 0


async def test_device_bytes_that_the_old_stream_still_brings_are_taken_once(
    bench: Bench, way: Way
) -> None:
    def both(old: Stream, new: Stream) -> None:
        for stream in (old, new):
            stream.say(DataEvent(0, b"ok\r\n"))

    way.at_take_over = both
    assert await bench.link.move(way)  # type: ignore[arg-type]
    bench.service.streams[-1].say(RINGS)
    await until(lambda: RINGS in bench.listener.events)
    assert bench.listener.events == [DataEvent(0, b"ok\r\n"), RINGS]


async def test_the_old_streams_last_news_come_before_those_of_the_new(
    bench: Bench, way: Way
) -> None:
    still = LinesEvent(ModemLines(cts=True))

    def one_each(old: Stream, new: Stream) -> None:
        new.say(RINGS)
        old.say(still)

    way.at_take_over = one_each
    assert await bench.link.move(way)  # type: ignore[arg-type]
    await until(lambda: len(bench.listener.events) == 2)
    assert bench.listener.events == [still, RINGS]


async def test_a_service_that_is_busy_keeps_the_session_where_it_is(
    bench: Bench, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "QUIET_S", 0.02)
    bench.service.answers_heartbeats = False
    assert not await bench.link.move(way)  # type: ignore[arg-type]
    bench.service.answers_heartbeats = True
    await write(bench)
    assert len(bench.service.streams) == 1
    assert await bench.link.move(way)  # type: ignore[arg-type]


async def test_a_move_that_breaks_off_is_a_loss_from_which_the_session_comes_back(
    bench: Bench, way: Way
) -> None:
    await write(bench)
    way.refuses = True
    assert not await bench.link.move(way)  # type: ignore[arg-type]
    await until(lambda: bench.listener.resumed)
    assert bench.listener.losses == ["went away in that moment"]
    await write(bench)
    assert [sent.offset for sent in bench.sent(SendCommand)] == [0, len(LINE)]


async def test_bytes_that_the_service_does_not_have_are_sent_again(bench: Bench, way: Way) -> None:
    await write(bench)
    bench.service.accepted_offset = 2
    assert await bench.link.move(way)  # type: ignore[arg-type]
    await until(lambda: len(bench.sent(SendCommand)) == 2)
    again = bench.sent(SendCommand)[-1]
    assert (again.offset, again.data) == (2, LINE[2:])


async def test_an_end_that_comes_meanwhile_is_said_on_the_new_stream(
    bench: Bench, way: Way
) -> None:
    way.at_take_over = lambda _old, _new: bench.link.close()
    assert await bench.link.move(way)  # type: ignore[arg-type]
    assert bench.running is not None
    await bench.running
    assert len(bench.sent(Goodbye)) == 1
    assert way.is_closed


async def test_a_session_that_cannot_be_resumed_does_not_move() -> None:
    made = Bench()
    await made.start()
    assert not await made.link.move(Way(made.service))  # type: ignore[arg-type]
    made.link.close()
    assert made.running is not None
    await made.running
