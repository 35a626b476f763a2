"""Observers read what the device said from one place: in order, bounded, each at its own pace."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.sessions.events import Data, Gap, HeartbeatReply, SessionEvent
from usbshare.serial_svc.sessions.observer_outbox import (
    LARGEST_OBSERVED_BYTES,
    ObserverOutbox,
    Tail,
)
from usbshare.serial_svc.sessions.observer_turns import ObserverTurns
from usbshare.serial_svc.sessions.outbox import MOST_DATA_BYTES, MOST_UNACKNOWLEDGED_BYTES

BLOCK = bytes(range(256)) * 16


def take_all(outbox: ObserverOutbox) -> list[SessionEvent | None]:
    taken = []
    while outbox.wait_s(0.0) == 0:
        taken.append(outbox.take(0.0))
    return taken


def joined(events: list[SessionEvent | None]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


def test_an_observer_begins_where_it_came() -> None:
    tail = Tail()
    tail.append(b"before")
    outbox = ObserverOutbox(tail)
    tail.append(b"after")
    assert take_all(outbox) == [Data(6, b"after")]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50_000), st.booleans()), max_size=30))
def test_each_gets_every_byte_in_order_at_its_own_pace(steps: list[tuple[bytes, bool]]) -> None:
    tail = Tail()
    quick, slow = ObserverOutbox(tail), ObserverOutbox(tail)
    heard: list[SessionEvent | None] = []
    late: list[SessionEvent | None] = []
    said = b""
    for data, takes in steps:
        tail.append(data)
        said += data
        heard += take_all(quick)
        if takes:
            late += take_all(slow)
    late += take_all(slow)
    assert joined(heard) == said
    lost = sum(event.lost_bytes for event in late if isinstance(event, Gap))
    assert len(joined(late)) + lost == len(said)
    for event in late:
        if isinstance(event, Data):
            assert event.data == said[event.offset : event.offset + len(event.data)]
            assert len(event.data) <= LARGEST_OBSERVED_BYTES


def test_a_reader_that_is_too_slow_is_told_how_much_it_missed() -> None:
    tail = Tail()
    outbox = ObserverOutbox(tail)
    size = 0
    while size <= 2 * MOST_DATA_BYTES:
        tail.append(BLOCK)
        size += len(BLOCK)
    first, *rest = take_all(outbox)
    assert first == Gap(size - MOST_DATA_BYTES, size - MOST_DATA_BYTES)
    assert joined(rest) == BLOCK * (MOST_DATA_BYTES // len(BLOCK))


def test_an_observer_is_not_sent_more_than_its_window() -> None:
    tail = Tail()
    outbox = ObserverOutbox(tail)
    outbox.acknowledged(0)
    tail.append(BLOCK * (2 * MOST_UNACKNOWLEDGED_BYTES // len(BLOCK)))
    sent = len(joined(take_all(outbox)))
    assert sent <= MOST_UNACKNOWLEDGED_BYTES
    outbox.acknowledged(sent)
    assert joined(take_all(outbox))


def test_discarded_bytes_are_not_sent_and_events_are() -> None:
    tail = Tail()
    outbox = ObserverOutbox(tail)
    tail.append(b"old")
    outbox.put(HeartbeatReply(1))
    outbox.discard_data()
    tail.append(b"new")
    event, data = take_all(outbox)
    assert isinstance(event, HeartbeatReply)
    assert data == Data(3, b"new")


def calls_in(action: Callable[[], None]) -> int:
    """Return how many Python functions an action calls: its cost, whatever the machine."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


async def test_a_byte_costs_the_same_for_one_observer_and_for_a_hundred() -> None:
    async def write(_: SessionEvent | None) -> None:
        await asyncio.sleep(0)

    async def cost(count: int) -> int:
        observer_turns = ObserverTurns()
        for _ in range(count):
            outbox = ObserverOutbox(observer_turns.tail)
            pump = StreamPump(outbox, write, time.monotonic, observer_turns.queue_up)
            observer_turns.join(pump)
            outbox.attach(pump)

        def say() -> None:
            for _ in range(100):
                observer_turns.put_data(b"ok\n")

        return calls_in(say)

    assert await cost(100) == await cost(1)
