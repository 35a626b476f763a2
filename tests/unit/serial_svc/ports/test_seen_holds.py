"""A resume names what a person saw: it undoes nothing that was stopped or held after that."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf

import pytest

from fakes.device import FakeDevice, ReportingDevice
from fakes.port_bench import FAST, RESUME, Bench
from usbshare.base.errors import InvalidArgumentError, PortLatchedError
from usbshare.line.profiles import GRBL, StopAction
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.stop.audit import StopRecord
from usbshare.serial_svc.stop.hold import HoldCause, SeenHold


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(ReportingDevice(FAST))
    await made.port.line.ensure_open()
    yield made
    await made.port.close()


async def act(bench: Bench, action: StopAction) -> None:
    await bench.port.stops.path.stop(action, "alice")


async def resume(bench: Bench, seen: SeenHold) -> StopRecord:
    return await bench.port.stops.path.stop(StopAction.RESUME, "bob", seen=seen)


def seen(bench: Bench) -> SeenHold:
    return SeenHold(bench.port.line.latch.epoch, bench.port.stops.machine.holds.number)


async def report(bench: Bench, state: bytes) -> None:
    bench.port.stops.machine.holds.reported(state, inf)


async def program_holds(bench: Bench) -> None:
    bench.port.stops.realtime.write(b"!", "ann")


async def session_is_lost(bench: Bench) -> None:
    bench.port.stops.machine.holds.session_held(HoldCause.WAITING, "alice", "it waits")


LATER: dict[str, Callable[[Bench], Awaitable[object]]] = {
    "hold": lambda bench: act(bench, StopAction.HOLD),
    "door": lambda bench: act(bench, StopAction.SAFETY_DOOR),
    "emergency stop": lambda bench: act(bench, StopAction.EMERGENCY_STOP),
    "a program's hold": program_holds,
    "the machine's own": lambda bench: report(bench, b"Hold:0"),
    "an alarm": lambda bench: report(bench, b"Alarm"),
    "a lost session's": session_is_lost,
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize("was_held", [False, True])
async def test_a_resume_undoes_nothing_that_came_after_it_was_decided(
    bench: Bench, later: Callable[[Bench], Awaitable[object]], was_held: bool
) -> None:
    if was_held:
        await act(bench, StopAction.HOLD)
        await resume(bench, seen(bench))
    decided = seen(bench)
    await later(bench)
    with pytest.raises(PortLatchedError, match=r"stopped or held again since.*Look at the machine"):
        await resume(bench, decided)
    assert bench.written.count(RESUME) == was_held
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    assert (await resume(bench, seen(bench))).sent == RESUME


async def test_a_hold_of_what_is_held_already_counts(bench: Bench) -> None:
    await act(bench, StopAction.HOLD)
    decided = seen(bench)
    await act(bench, StopAction.HOLD)
    with pytest.raises(PortLatchedError):
        await resume(bench, decided)


async def test_a_machine_that_reports_the_commanded_hold_may_be_resumed(
    bench: Bench,
) -> None:
    await act(bench, StopAction.HOLD)
    decided = seen(bench)
    await report(bench, b"Hold:1")
    await report(bench, b"Hold:0")
    assert (await resume(bench, decided)).sent == RESUME


async def test_a_resume_cannot_name_what_is_to_come(bench: Bench) -> None:
    await act(bench, StopAction.HOLD)
    now = seen(bench)
    for to_come in (SeenHold(now.epoch, now.number + 1), SeenHold(now.epoch + 1, 0)):
        with pytest.raises(InvalidArgumentError, match="has not begun"):
            await resume(bench, to_come)


async def test_a_hold_while_the_device_is_opened_keeps_a_resume_away() -> None:
    device = FakeDevice(FAST)

    def open_device(_: object) -> FakeDevice:
        port.stops.machine.holds.machine_held(HoldCause.STOP, "alice")
        return device

    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST)
    port = SerialPort(config, open_device, time.monotonic, lambda: None)
    decided = SeenHold(port.line.latch.epoch, port.stops.machine.holds.number)
    with pytest.raises(PortLatchedError):
        await port.stops.path.stop(StopAction.RESUME, "bob", seen=decided)
    assert not device.written
    await port.close()
