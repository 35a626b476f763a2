"""What waits for one client: in order, bounded, gathered under load."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.common.errors import LimitError
from usbshare.common.gather import GATHER_S
from usbshare.serial_svc.events import Closed, Data, Gap, HeartbeatReply
from usbshare.serial_svc.outbox import (
    HIGH_WATER_BYTES,
    MOST_DATA_BYTES,
    MOST_EVENTS,
    MOST_UNACKNOWLEDGED_BYTES,
    Outbox,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_lone_chunk_goes_at_once(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.put_data(0, b"o")
    assert await outbox.next() == Data(0, b"o")


async def test_chunks_behind_an_unacknowledged_one_are_gathered(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.put_data(0, b"a")
    await outbox.next()
    outbox.put_data(1, b"b")
    pending = asyncio.ensure_future(outbox.next())
    await asyncio.sleep(0)
    assert not pending.done()
    outbox.put_data(2, b"c")
    clock.advance(GATHER_S)
    assert await pending == Data(1, b"bc")


async def test_a_line_end_is_never_held_back(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.put_data(0, b"a")
    await outbox.next()
    outbox.put_data(1, b"ok\r\n")
    assert await outbox.next() == Data(1, b"ok\r\n")


async def test_acknowledged_bytes_let_the_next_chunk_go_at_once(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.put_data(0, b"a")
    await outbox.next()
    outbox.acknowledged(1)
    outbox.put_data(1, b"b")
    assert await outbox.next() == Data(1, b"b")


async def test_events_go_before_bytes_and_the_goodbye_last(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.close()
    outbox.put_data(0, b"a")
    outbox.put(HeartbeatReply(1))
    assert [await outbox.next() for _ in range(3)] == [HeartbeatReply(1), Data(0, b"a"), Closed()]


async def test_bytes_that_the_client_does_not_take_are_held_back(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.acknowledged(0)
    block = b"x" * 4096
    fitting = MOST_UNACKNOWLEDGED_BYTES // len(block)
    for number in range(fitting + 1):
        outbox.put_data(number * len(block), block)
    for _ in range(fitting):
        assert isinstance(await outbox.next(), Data)
    waiting = asyncio.ensure_future(outbox.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put(HeartbeatReply(1))
    assert await waiting == HeartbeatReply(1)
    outbox.acknowledged(len(block))
    assert await outbox.next() == Data(fitting * len(block), block)


async def test_a_full_outbox_says_when_it_has_room_again(clock: FakeClock) -> None:
    news: list[bool] = []
    outbox = Outbox(clock, lambda: news.append(outbox.is_full))
    outbox.put_data(0, b"x" * HIGH_WATER_BYTES)
    assert outbox.is_full
    await outbox.next()
    assert news == [False]


async def test_a_slow_reader_gets_a_gap_notice_with_the_exact_count(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    block = b"x" * 4096
    blocks = MOST_DATA_BYTES // len(block)
    for number in range(blocks + 3):
        outbox.put_data(number * len(block), block)
    received = [await outbox.next() for _ in range(blocks)]
    assert all(isinstance(event, Data) for event in received)
    resumed_at = (blocks + 3) * len(block)
    outbox.put_data(resumed_at, b"again\n")
    assert await outbox.next() == Gap(3 * len(block), resumed_at)
    assert await outbox.next() == Data(resumed_at, b"again\n")


async def test_a_client_that_reads_no_events_is_given_up(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    for number in range(MOST_EVENTS + 1):
        outbox.put(HeartbeatReply(number))
    with pytest.raises(LimitError, match="reads too slowly"):
        await outbox.next()


async def test_a_poke_returns_without_an_event(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    waiting = asyncio.ensure_future(outbox.next())
    await asyncio.sleep(0)
    outbox.poke()
    assert await waiting is None


async def test_cancelling_next_loses_nothing(clock: FakeClock) -> None:
    outbox = Outbox(clock, lambda: None)
    waiting = asyncio.ensure_future(outbox.next())
    await asyncio.sleep(0)
    waiting.cancel()
    outbox.put_data(0, b"a")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await outbox.next() == Data(0, b"a")


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=60))
def test_bytes_come_out_in_order_however_they_went_in(chunks: list[bytes]) -> None:
    async def collect() -> bytes:
        clock = FakeClock()
        outbox = Outbox(clock, lambda: None)
        offset = 0
        for chunk in chunks:
            outbox.put_data(offset, chunk)
            offset += len(chunk)
        outbox.close()
        out = bytearray()
        while not isinstance(event := await outbox.next(), Closed):
            assert isinstance(event, Data)
            assert event.offset == len(out)
            out += event.data
        return bytes(out)

    assert asyncio.run(collect()) == b"".join(chunks)


async def test_bytes_that_were_thrown_away_do_not_count_as_unacknowledged(
    clock: FakeClock,
) -> None:
    outbox = Outbox(clock, lambda: None)
    outbox.acknowledged(0)
    outbox.put_data(0, b"first\n")
    await outbox.next()
    outbox.put_data(6, b"x" * 2 * MOST_UNACKNOWLEDGED_BYTES)
    outbox.discard_data()
    outbox.acknowledged(6)
    offset = 6 + 2 * MOST_UNACKNOWLEDGED_BYTES
    outbox.put_data(offset, b"next\n")
    assert await outbox.next() == Data(offset, b"next\n")
