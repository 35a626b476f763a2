"""What waits for one client: in order, bounded, gathered under load."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.base.errors import LimitError
from usbshare.base.gather import GATHER_S
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.sessions.control_outbox import HIGH_WATER_BYTES, ControlOutbox
from usbshare.serial_svc.sessions.events import Closed, Data, Gap, HeartbeatReply, SessionEvent
from usbshare.serial_svc.sessions.outbox import (
    MOST_DATA_BYTES,
    MOST_EVENTS,
    MOST_UNACKNOWLEDGED_BYTES,
)

BLOCK = b"x" * 4096


class Reader:
    """An outbox and a client that takes one message after another, when it is asked to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rooms: list[bool] = []
        self.outbox = ControlOutbox(lambda: self.rooms.append(self.outbox.is_full), 0)

    def put(self, offset: int, data: bytes) -> None:
        self.outbox.put_data(offset, data, self.clock())

    @property
    def has_due(self) -> bool:
        return self.outbox.wait_s(self.clock()) == 0

    def take(self) -> SessionEvent | None:
        assert self.has_due
        return self.outbox.take(self.clock())


class Stream:
    """A stream that takes a message only when it is let."""

    def __init__(self, reader: Reader) -> None:
        self.sent: list[SessionEvent | None] = []
        self._room = asyncio.Semaphore(0)
        self.pump = StreamPump(reader.outbox, self._write, reader.clock)

    async def _write(self, event: SessionEvent | None) -> None:
        self.sent.append(event)
        await self._room.acquire()

    async def let(self) -> None:
        self._room.release()
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_a_lone_chunk_goes_at_once(reader: Reader) -> None:
    reader.put(0, b"o")
    assert reader.take() == Data(0, b"o")


def test_chunks_behind_an_unacknowledged_one_are_gathered(reader: Reader) -> None:
    reader.put(0, b"a")
    reader.take()
    reader.put(1, b"b")
    assert reader.outbox.wait_s(reader.clock()) == pytest.approx(GATHER_S)
    reader.put(2, b"c")
    reader.clock.advance(GATHER_S)
    assert reader.take() == Data(1, b"bc")


def test_a_line_end_is_never_held_back(reader: Reader) -> None:
    reader.put(0, b"a")
    reader.take()
    reader.put(1, b"ok\r\n")
    assert reader.take() == Data(1, b"ok\r\n")


def test_acknowledged_bytes_let_the_next_chunk_go_at_once(reader: Reader) -> None:
    reader.put(0, b"a")
    reader.take()
    reader.outbox.acknowledged(1)
    reader.put(1, b"b")
    assert reader.take() == Data(1, b"b")


def test_events_go_before_bytes_and_the_close_last(reader: Reader) -> None:
    reader.outbox.close()
    reader.put(0, b"a")
    reader.outbox.put(HeartbeatReply(1))
    assert [reader.take() for _ in range(3)] == [HeartbeatReply(1), Data(0, b"a"), Closed()]
    assert not reader.outbox.finished.is_set()
    assert reader.outbox.wait_s(reader.clock()) is None
    assert reader.outbox.finished.is_set()


def test_bytes_that_the_client_does_not_take_are_held_back(reader: Reader) -> None:
    reader.outbox.acknowledged(0)
    fitting = MOST_UNACKNOWLEDGED_BYTES // len(BLOCK)
    for number in range(fitting + 1):
        reader.put(number * len(BLOCK), BLOCK)
    for _ in range(fitting):
        assert isinstance(reader.take(), Data)
    assert not reader.has_due
    reader.outbox.put(HeartbeatReply(1))
    assert reader.take() == HeartbeatReply(1)
    reader.outbox.acknowledged(len(BLOCK))
    assert reader.take() == Data(fitting * len(BLOCK), BLOCK)


def test_a_full_outbox_says_when_it_has_room_again(reader: Reader) -> None:
    reader.put(0, b"x" * HIGH_WATER_BYTES)
    assert reader.outbox.is_full
    reader.take()
    assert reader.rooms == [False]


def test_a_slow_reader_gets_a_gap_notice_with_the_exact_count(reader: Reader) -> None:
    blocks = MOST_DATA_BYTES // len(BLOCK)
    for number in range(blocks + 3):
        reader.put(number * len(BLOCK), BLOCK)
    assert all(isinstance(reader.take(), Data) for _ in range(blocks))
    resumed_at = (blocks + 3) * len(BLOCK)
    reader.put(resumed_at, b"again\n")
    assert reader.take() == Gap(3 * len(BLOCK), resumed_at)
    assert reader.take() == Data(resumed_at, b"again\n")


def test_a_client_that_reads_no_events_is_given_up(reader: Reader) -> None:
    for number in range(MOST_EVENTS + 1):
        reader.outbox.put(HeartbeatReply(number))
    with pytest.raises(LimitError, match="reads too slowly"):
        reader.take()


def test_a_poke_is_due_without_an_event(reader: Reader) -> None:
    assert not reader.has_due
    reader.outbox.poke()
    assert reader.take() is None
    assert not reader.has_due


def test_a_poke_goes_with_the_bytes_that_are_due(reader: Reader) -> None:
    reader.put(0, b"ok\n")
    reader.outbox.poke()
    assert reader.take() == Data(0, b"ok\n")
    assert not reader.has_due


def test_a_message_that_leaves_for_credit_alone_takes_gathered_bytes_along(reader: Reader) -> None:
    reader.outbox.acknowledged(0)
    reader.put(0, b"a")
    reader.take()
    reader.put(1, b"b")
    assert not reader.has_due
    reader.outbox.poke()
    assert reader.take() == Data(1, b"b")
    assert not reader.has_due


def test_credit_takes_no_bytes_to_a_client_that_must_take_others_first(reader: Reader) -> None:
    reader.outbox.acknowledged(0)
    for offset in range(0, MOST_UNACKNOWLEDGED_BYTES, len(BLOCK)):
        reader.put(offset, BLOCK)
        reader.clock.advance(GATHER_S)
        reader.take()
    reader.put(MOST_UNACKNOWLEDGED_BYTES, BLOCK)
    reader.outbox.poke()
    assert reader.take() is None
    assert not reader.has_due


def test_bytes_that_were_thrown_away_do_not_count_as_unacknowledged(reader: Reader) -> None:
    reader.outbox.acknowledged(0)
    reader.put(0, b"first\n")
    reader.take()
    reader.put(6, b"x" * 2 * MOST_UNACKNOWLEDGED_BYTES)
    reader.outbox.discard_data()
    reader.outbox.acknowledged(6)
    offset = 6 + 2 * MOST_UNACKNOWLEDGED_BYTES
    reader.put(offset, b"next\n")
    assert reader.take() == Data(offset, b"next\n")


async def test_bytes_pass_an_empty_outbox_and_wait_behind_a_write_under_way(
    reader: Reader,
) -> None:
    stream = Stream(reader)
    reader.outbox.attach(stream.pump)
    reader.put(0, b"a\n")
    assert stream.sent == [Data(0, b"a\n")]
    reader.put(2, b"b\n")
    reader.put(4, b"c\n")
    assert len(stream.sent) == 1
    await stream.let()
    assert stream.sent[1:] == [Data(2, b"b\nc\n")]


async def test_messages_from_before_the_stream_was_established_go_first(reader: Reader) -> None:
    reader.put(0, b"a\n")
    stream = Stream(reader)
    reader.outbox.attach(stream.pump)
    reader.put(2, b"b\n")
    await stream.let()
    assert stream.sent == [Data(0, b"a\n"), Data(2, b"b\n")]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=3000), st.booleans()), max_size=60))
def test_bytes_come_out_in_order_however_they_went_in(steps: list[tuple[bytes, bool]]) -> None:
    async def collect() -> bytes:
        reader = Reader()
        stream = Stream(reader)
        reader.outbox.attach(stream.pump)
        offset = 0
        for chunk, is_let in steps:
            reader.put(offset, chunk)
            offset += len(chunk)
            if is_let:
                await stream.let()
        reader.outbox.close()
        while not reader.outbox.finished.is_set():
            await stream.let()
        out = bytearray()
        for event in stream.sent[:-1]:
            assert isinstance(event, Data)
            assert event.offset == len(out)
            out += event.data
        assert stream.sent[-1] == Closed()
        return bytes(out)

    assert asyncio.run(collect()) == b"".join(chunk for chunk, _ in steps)
