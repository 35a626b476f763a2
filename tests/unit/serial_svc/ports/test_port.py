"""A port and its sessions: who may write, what is told, what a stop does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.told_port import FAST, Bench, results, told
from fakes.waiting import until
from usbshare.base.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    PortHeldError,
)
from usbshare.line.profiles import AUTO, GRBL, Priority
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.sessions.client import Command, Mode
from usbshare.serial_svc.sessions.control_outbox import HIGH_WATER_BYTES
from usbshare.serial_svc.sessions.events import (
    Data,
    Opened,
    OperationOutcome,
    OperationResult,
    PortChanged,
)


def bench(**changes: object) -> Bench:
    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST)
    return Bench(replace(config, **changes))  # type: ignore[arg-type]


@pytest.fixture
async def grbl() -> AsyncIterator[Bench]:
    made = bench()
    yield made
    made.device.unsent = 0
    await made.port.close()


async def test_a_command_is_written_and_answered(grbl: Bench) -> None:
    session = await grbl.open()
    await grbl.send(session, 7, b"G1 X1\n")
    await until(lambda: grbl.device.written == b"G1 X1\n")
    assert results(session) == {7: CommandOutcome.WRITTEN}


async def test_the_first_event_is_opened_with_the_port(grbl: Bench) -> None:
    first = told(await grbl.open())[0]
    assert isinstance(first, Opened)
    assert first.port.holder is None or first.port.holder.client_name == "one"
    assert first.port.state is PortState.OPEN


async def test_a_second_control_session_is_refused_with_the_holders_name(grbl: Bench) -> None:
    await grbl.open("one")
    with pytest.raises(PortHeldError, match=r"port 'laser' is held by usbshare://site/one"):
        await grbl.open("two")


async def test_observers_see_data_and_may_not_write(grbl: Bench) -> None:
    control = await grbl.open("one")
    watcher = await grbl.open("two", Mode.OBSERVE)
    told(watcher)
    grbl.device.say(b"ok\n")
    assert told(watcher) == [Data(0, b"ok\n")]
    await grbl.send(watcher, 1, b"G0 X1\n")
    assert results(watcher) == {1: CommandOutcome.REFUSED}
    with pytest.raises(PermissionDeniedError, match="only observes"):
        watcher.realtime.in_stream(b"!")
    assert grbl.device.written == b""
    assert Data(0, b"ok\n") in told(control)


async def test_control_is_free_again_when_its_session_ends(grbl: Bench) -> None:
    first = await grbl.open("one")
    first.end("lost")
    assert grbl.port.describe().holder is None
    await grbl.open("two")


async def test_a_full_queue_makes_the_sender_wait_and_drops_nothing() -> None:
    made = bench(queue=QueueLimits(max_commands=2))
    session = await made.open()
    made.device.capacity = 0
    await made.send(session, 1, b"aa")
    await made.send(session, 2, b"bb")
    third = asyncio.create_task(made.send(session, 3, b"cc"))
    await asyncio.sleep(0)
    assert not third.done()
    made.device.make_room(100)
    await third
    await until(lambda: made.device.written == b"aabbcc")


async def test_a_sender_cancelled_while_it_waits_leaves_the_queue_usable() -> None:
    made = bench(queue=QueueLimits(max_commands=1))
    session = await made.open()
    made.device.capacity = 0
    await made.send(session, 1, b"aa")
    waiting = asyncio.create_task(made.send(session, 2, b"bb"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    made.device.make_room(100)
    await until(lambda: made.device.written == b"aa")
    assert made.port.line.scheduler.commands == 0


@pytest.mark.parametrize("size", [0, 4097])
async def test_a_command_of_a_wrong_size_is_refused(grbl: Bench, size: int) -> None:
    session = await grbl.open()
    with pytest.raises(InvalidArgumentError, match=f"command.data has {size} bytes"):
        await session.command(Command(1, None, 1, 0, b"x" * size))


async def test_a_command_that_does_not_follow_on_is_refused(grbl: Bench) -> None:
    session = await grbl.open()
    with pytest.raises(InvalidArgumentError, match=r"command.offset is 5; expected 0"):
        await session.command(Command(1, None, 1, 5, b"x"))


async def test_auto_becomes_the_firmware_that_speaks() -> None:
    made = bench(profile=None)
    session = await made.open()
    assert made.port.line.profile is AUTO
    made.device.say(b"\r\nGrbl 1.1h ['$' for help]\r\n")
    assert made.port.line.profile is GRBL
    changes = [e for e in told(session) if isinstance(e, PortChanged)]
    assert changes[-1].port.profile == "grbl"
    assert changes[-1].port.configured_profile == "auto"


async def test_credit_follows_what_was_written(grbl: Bench) -> None:
    session = await grbl.open()
    first = session.credit_due()
    assert first is not None
    assert first.consumed_offset == 0
    assert session.credit_due() is None
    grbl.device.capacity = 4
    await grbl.send(session, 1, b"G1 X10\n")
    credit = session.credit_due()
    assert credit is not None
    assert credit.consumed_offset == 4
    assert credit.limit_offset == first.limit_offset + 4


async def test_a_slow_line_grants_no_more_than_256_bytes_ahead() -> None:
    made = bench(settings=LineSettings(baud=115200))
    session = await made.open()
    credit = session.credit_due()
    assert credit is not None
    assert credit.limit_offset == 256


async def test_counters_count(grbl: Bench) -> None:
    session = await grbl.open()
    await grbl.send(session, 1, b"G1 X10\n")
    grbl.device.say(b"ok\r\n")
    await until(lambda: grbl.port.line.counters.written_commands == 1)
    counters = grbl.port.line.counters
    assert (counters.written_bytes, counters.read_bytes, counters.read_chunks) == (7, 4, 1)
    assert counters.queue_time.count == counters.write_time.count == 1
    assert counters.max_queue_commands == 1


async def test_the_deepest_queue_is_kept(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.capacity = 0
    await grbl.send(session, 1, b"a")
    await grbl.send(session, 2, b"b")
    grbl.device.make_room(10)
    await until(lambda: grbl.device.written == b"ab")
    assert grbl.port.line.counters.max_queue_commands == 2


async def test_a_long_command_is_written_in_slices_worth_writing() -> None:
    made = bench(settings=LineSettings(baud=921600))
    session = await made.open()
    await made.send(session, 1, b"x" * 4096)
    await until(lambda: len(made.device.written) == 4096)
    assert 4096 / len(made.device.writes) >= 921600 // 10 * 0.004 // 2


async def test_closing_a_session_first_writes_what_it_queued(grbl: Bench) -> None:
    session = await grbl.open()
    await grbl.send(session, 1, b"G1 X10\n" * 500)
    await session.close()
    assert grbl.device.written == b"G1 X10\n" * 500


async def test_a_lost_session_writes_nothing_more(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    session.end("lost")
    grbl.device.unsent = 0
    fresh = await grbl.open("two")
    grbl.port.stops.path.rearm("two", grbl.port.line.latch.epoch)
    await grbl.send(fresh, 1, b"new\n", epoch=grbl.port.line.latch.epoch)
    await until(lambda: grbl.device.written == b"new\n")


async def test_priority_levels_are_those_that_users_know() -> None:
    assert [int(level) for level in Priority] == [0, 1, 5, 10]


async def test_a_slow_observer_delays_no_other(grbl: Bench) -> None:
    await grbl.open("watcher", Mode.OBSERVE)
    grbl.device.say(b"x" * HIGH_WATER_BYTES)
    assert grbl.device.line_log == []


async def test_a_command_that_waits_when_its_session_ends_is_not_written() -> None:
    made = bench(queue=QueueLimits(max_commands=1))
    session = await made.open()
    made.device.capacity = 0
    await made.send(session, 1, b"aa")
    waiting = asyncio.create_task(made.send(session, 2, b"bb"))
    await asyncio.sleep(0)
    session.end("lost")
    await waiting
    made.device.make_room(100)
    assert made.device.written == b""


async def test_an_observers_command_is_refused_though_the_queue_is_full() -> None:
    made = bench(queue=QueueLimits(max_commands=1))
    session = await made.open()
    made.device.capacity = 0
    await made.send(session, 1, b"aa")
    watcher = await made.open("watcher", Mode.OBSERVE)
    await asyncio.wait_for(made.send(watcher, 1, b"x"), 30)
    assert results(watcher) == {1: CommandOutcome.REFUSED}


async def test_a_command_behind_many_that_were_held_is_written() -> None:
    made = bench(queue=QueueLimits(max_commands=1000))
    session = await made.open()
    going = asyncio.Event()

    async def slow() -> OperationResult:
        await going.wait()
        return OperationResult(1, OperationOutcome.OK)

    session.operations.later(1, slow)
    for number in range(1000):
        await made.send(session, number, b"a")
    last = asyncio.create_task(made.send(session, 999, b"LAST"))
    await asyncio.sleep(0)
    going.set()
    await last
    await until(lambda: made.device.written.endswith(b"LAST"))
