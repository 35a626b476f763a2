"""A stop of an old epoch is carried out at any age; nothing else is, and it re-arms nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fakes.port_bench import DOOR, RESET, Bench, Client1
from usbshare.base.errors import PortLatchedError
from usbshare.line.profiles import MARLIN, StopAction
from usbshare.line.program_runs import Untouched
from usbshare.serial_svc.line.latch import LatchCause
from usbshare.serial_svc.line.scheduler import CommandOutcome


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(link_timeout_s=60.0)
    yield made
    await made.port.close()


async def after_a_stop(bench: Bench, *, rearmed: bool = True) -> Client1:
    """Return a client that does not know yet of an emergency stop."""
    client = await bench.open()
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
    if rearmed:
        bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    bench.device.written.clear()
    return client


async def fenced(client: Client1, count: int = 1) -> None:
    await asyncio.sleep(0)
    assert client.results() == [CommandOutcome.FENCED] * count


@pytest.mark.parametrize(
    ("data", "carried_out"),
    [
        (RESET, RESET),
        (b"G1 X1\n\x18G1 X2\n", RESET),
        (b"G1 X1\n!G1 X2\n", b"!"),
        (b"!~\x84?\x91G1 X1\n", b"!\x84"),
        (b"~", b""),
        (b"?\x90G1 X1\n", b""),
        (b"\x18~", RESET),
    ],
)
async def test_the_stops_of_an_old_command_are_carried_out_and_nothing_else(
    bench: Bench, data: bytes, carried_out: bytes
) -> None:
    client = await after_a_stop(bench)
    await client.send(data, epoch=1)
    assert bench.written == carried_out
    await fenced(client)


@pytest.mark.parametrize(
    ("data", "carried_out"),
    [
        (b"M112\n", b"\nM112\n"),
        (b"G1 X1\nM410\nM108\nG1 X2\n", b"\nM410\n"),
        (b"; M112\n", b""),
        (b"\x00\nM112\n", b""),
        (Untouched(b"M112\n"), b""),
    ],
)
async def test_late_stops_of_firmware_whose_stops_are_lines_are_carried_out(
    data: bytes, carried_out: bytes
) -> None:
    bench = Bench(profile=MARLIN, link_timeout_s=60.0)
    client = await after_a_stop(bench)
    await client.send(b"G1 X1", epoch=2)
    bench.device.written.clear()
    await client.send(data, epoch=1)
    assert bench.written == carried_out
    await fenced(client)
    await bench.port.close()


async def test_a_hold_of_an_old_command_ends_no_epoch_and_holds_the_machine(bench: Bench) -> None:
    client = await after_a_stop(bench)
    await client.send(b"!", epoch=1)
    assert bench.port.line.latch.epoch == 2
    assert bench.port.describe().hold is not None


async def test_a_late_reset_that_hits_a_new_job_ends_it(bench: Bench) -> None:
    """With a hole it must not go on: nothing of it that waits is written, nor what it sends on."""
    client = await after_a_stop(bench)
    bench.device.capacity = 8
    await client.send(b"G1 X1\nG1 X2\n", epoch=2)
    await client.send(RESET, epoch=1)
    bench.device.make_room(1000)
    assert bench.written == b"G1 X1\nG1" + RESET
    await client.send(b"G1 X3\n", epoch=2)
    assert bench.written == b"G1 X1\nG1" + RESET
    assert bench.port.line.latch.epoch == 3
    await client.send(b"G1 X4\n", epoch=3)
    assert bench.written.endswith(RESET + b"G1 X4\n")


async def test_a_late_reset_re_arms_nothing_and_the_stop_before_it_can_be_re_armed(
    bench: Bench,
) -> None:
    client = await after_a_stop(bench, rearmed=False)
    await client.send(b"\x18G1 X1\n", epoch=1)
    assert bench.written == RESET
    assert bench.port.line.latch.is_set
    bench.port.stops.path.rearm("bob", 2)
    assert not bench.port.line.latch.is_set


async def test_a_late_reset_does_not_make_up_for_a_job_that_was_lost_after_it(
    bench: Bench,
) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.watch.client_lost(10)
    await client.send(RESET, epoch=1)
    assert bench.written == b"G1 X1\n" + RESET
    latch = bench.port.describe().latch
    assert latch is not None
    assert latch.cause is LatchCause.JOB_LOST


async def test_bytes_of_an_upload_are_no_stop_in_an_old_epoch_either(bench: Bench) -> None:
    client = await after_a_stop(bench)
    await client.send(b"\x01\x01\xfe" + RESET * 64 + b"!" * 64 + b"\x00", epoch=1)
    await client.send(RESET * 64, epoch=1)
    assert bench.written == b""
    await fenced(client, 2)


async def test_without_a_device_a_late_stop_ends_no_session(bench: Bench) -> None:
    client = await after_a_stop(bench)
    bench.device.fails_to_open = "not there"
    bench.device.vanish()
    await client.send(RESET, epoch=1)
    await fenced(client)
    assert not bench.written.count(DOOR)


Send = Callable[[Client1, bytes, int], None]


def in_the_stream(client: Client1, data: bytes, epoch: int) -> None:
    client.session.realtime.in_stream(data, epoch=epoch)


def numbered_in_the_stream(client: Client1, data: bytes, epoch: int) -> None:
    client.session.realtime.in_stream(data, 1, epoch)


def another_way(client: Client1, data: bytes, epoch: int) -> None:
    client.session.realtime.overtake(data, 1, epoch)


WAYS = [in_the_stream, numbered_in_the_stream, another_way]


async def after_a_lost_job(bench: Bench) -> Client1:
    """Return a client that has told of what it lost in epoch 1, which was ended by that."""
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.watch.client_lost(10)
    bench.device.written.clear()
    assert bench.port.line.latch.epoch == 2
    return client


@pytest.mark.parametrize("way", WAYS)
async def test_a_reset_of_the_epoch_in_force_makes_up_for_a_lost_job(
    bench: Bench, way: Send
) -> None:
    way(await after_a_lost_job(bench), RESET, 2)
    assert bench.written == RESET
    assert not bench.port.line.latch.is_set
    assert bench.port.line.latch.epoch == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("epoch", [1, 3])
async def test_a_reset_of_another_epoch_is_carried_out_and_makes_up_for_nothing(
    bench: Bench, way: Send, epoch: int
) -> None:
    way(await after_a_lost_job(bench), RESET, epoch)
    assert bench.written == RESET
    assert bench.port.line.latch.is_set
    assert bench.port.line.latch.epoch == 3


@pytest.mark.parametrize("way", WAYS)
async def test_a_reset_without_an_epoch_makes_up_for_nothing(bench: Bench, way: Send) -> None:
    way(await after_a_lost_job(bench), RESET, 0)
    assert bench.written == RESET
    assert bench.port.line.latch.is_set
    assert bench.port.line.latch.epoch == 2


@pytest.mark.parametrize("way", WAYS)
async def test_of_old_real_time_bytes_only_the_stops_are_carried_out(
    bench: Bench, way: Send
) -> None:
    client = await after_a_stop(bench)
    way(client, b"!~\x84?\x91", 1)
    assert bench.written == b"!\x84"
    client.cut()
    client = await after_a_stop(bench)
    way(client, b"~", 1)
    assert bench.written == b""


@pytest.mark.parametrize("way", WAYS)
async def test_an_old_reset_that_hits_a_new_job_ends_it(bench: Bench, way: Send) -> None:
    client = await after_a_stop(bench)
    bench.device.capacity = 8
    await client.send(b"G1 X1\nG1 X2\n", epoch=2)
    way(client, RESET, 1)
    bench.device.make_room(1000)
    assert bench.written == b"G1 X1\nG1" + RESET
    assert bench.port.line.latch.epoch == 3


async def test_sessionless_bytes_of_an_old_epoch_are_refused_unless_they_stop(bench: Bench) -> None:
    await after_a_stop(bench)
    assert bench.port.stops.realtime.require_meant(b"~!", 1) == b"!"
    assert bench.port.stops.realtime.require_meant(b"~", bench.port.line.latch.epoch) == b"~"
    assert bench.port.stops.realtime.require_meant(b"~", 0) == b"~"
    with pytest.raises(PortLatchedError, match="the bytes were sent in epoch 1, which is over"):
        bench.port.stops.realtime.require_meant(b"~", 1)
