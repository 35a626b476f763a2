"""What stops and resets do to a port, its queue and its sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.told_port import FAST, Bench, results, told
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
)
from usbshare.line.profiles import GRBL, MARLIN, RAW, StopAction
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.sessions.events import (
    PortChanged,
)
from usbshare.serial_svc.stop import stop_path


def bench(**changes: object) -> Bench:
    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST)
    return Bench(replace(config, **changes))  # type: ignore[arg-type]


@pytest.fixture
async def grbl() -> AsyncIterator[Bench]:
    made = bench()
    yield made
    made.device.unsent = 0
    await made.port.close()


async def test_realtime_bytes_overtake_a_full_queue(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    for number in range(50):
        await grbl.send(session, number, b"G1 X10\n")
    session.realtime.in_stream(b"!")
    assert grbl.device.written == b"!"


async def test_realtime_bytes_inside_a_command_overtake_too(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    await grbl.send(session, 2, b"G1 X!20\n")
    assert grbl.device.written == b"!"
    grbl.device.unsent = 0
    sent = b"!G1 X10\nG1 X20\n"
    await until(lambda: grbl.device.written.replace(b"?", b"") == sent)


async def test_a_status_poll_yields_to_work_but_not_for_long(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    session.realtime.in_stream(b"?")
    assert grbl.device.written == b""
    await until(lambda: grbl.device.written == b"?")


async def test_a_status_poll_goes_at_once_when_nothing_waits(grbl: Bench) -> None:
    session = await grbl.open()
    session.realtime.in_stream(b"?")
    assert grbl.device.written == b"?"


async def test_a_programs_own_reset_drops_what_it_queued_and_needs_no_rearming(
    grbl: Bench,
) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    await grbl.send(session, 2, b"G1 X20\n")
    session.realtime.in_stream(b"\x18")
    assert grbl.device.written == b"\x18"
    assert results(session) == {1: CommandOutcome.FLUSHED, 2: CommandOutcome.FLUSHED}
    assert not grbl.port.line.latch.is_set
    await grbl.send(session, 3, b"$X\n")
    await until(lambda: grbl.device.written == b"\x18$X\n")


async def test_bytes_that_are_not_realtime_are_refused_as_such(grbl: Bench) -> None:
    session = await grbl.open()
    with pytest.raises(InvalidArgumentError, match="not real-time bytes of profile 'grbl'"):
        session.realtime.in_stream(b"!G")


async def test_an_emergency_stop_fences_latches_and_goes_first(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    for number in range(5):
        await grbl.send(session, number, b"G1 X10\n")
    old_epoch = grbl.port.line.latch.epoch
    record = await grbl.port.stops.path.stop(StopAction.EMERGENCY_STOP, "somebody")
    assert (record.sent, record.fenced_commands, record.latched) == (b"\x18", 5, True)
    assert grbl.device.written == b"\x18"
    assert grbl.device.discarded_outputs == 1
    await grbl.send(session, 8, b"G1 X1\n", epoch=old_epoch)
    await grbl.send(session, 9, b"G1 X1\n")
    expected = dict.fromkeys((0, 1, 2, 3, 4, 8), CommandOutcome.FENCED)
    assert results(session) == {**expected, 9: CommandOutcome.REFUSED}
    grbl.port.stops.path.rearm("somebody", record.epoch)
    await grbl.send(session, 10, b"$X\n")
    await until(lambda: grbl.device.written == b"\x18$X\n")


async def test_a_stop_needs_no_session_and_opens_the_device_if_it_must(grbl: Bench) -> None:
    record = await grbl.port.stops.path.stop(StopAction.HOLD, "somebody")
    assert record.sent == b"!"
    assert grbl.device.written == b"!"


async def test_a_marlin_stop_ends_an_unfinished_line_first() -> None:
    made = bench(profile=MARLIN)
    session = await made.open()
    await made.send(session, 1, b"G1 X1")
    await until(lambda: made.device.written == b"G1 X1")
    record = await made.port.stops.path.stop(StopAction.EMERGENCY_STOP, "somebody")
    assert record.sent == b"\nM112\n"


async def test_a_stop_that_the_profile_does_not_have_is_unsupported() -> None:
    made = bench(profile=RAW)
    with pytest.raises(NotSupportedError, match="profile 'raw'"):
        await made.port.stops.path.stop(StopAction.HOLD, "somebody")


async def test_realtime_bytes_for_an_absent_device_are_void(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.fails_to_open = "unplugged"
    grbl.device.vanish()
    session.realtime.in_stream(b"~")
    session.realtime.in_stream(b"?")
    grbl.device.fails_to_open = None
    await until(lambda: grbl.port.line.is_open)
    session.realtime.in_stream(b"?")
    assert grbl.device.written == b"?"


async def test_a_stop_that_the_device_does_not_take_is_no_success(
    grbl: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_path, "TAKE_TIMEOUT_S", 0.02)
    session = await grbl.open()
    grbl.device.capacity = 0
    told(session)
    with pytest.raises(DeviceError, match="accepts no bytes; once it does, the stop is"):
        await grbl.port.stops.path.stop(StopAction.EMERGENCY_STOP, "somebody")
    assert grbl.port.line.latch.is_set
    assert grbl.port.line.counters.stops == 1
    assert any(isinstance(event, PortChanged) for event in told(session))
    grbl.device.make_room(100)
    assert grbl.device.written == b"\x18"


async def test_a_stop_on_a_device_that_fails_is_no_success(grbl: Bench) -> None:
    await grbl.open()
    grbl.device.broken = "gone"
    with pytest.raises(DeviceError):
        await grbl.port.stops.path.stop(StopAction.HOLD, "somebody")


async def test_a_marlin_stop_survives_a_flush_that_takes_the_line_end() -> None:
    made = bench(profile=MARLIN)
    session = await made.open()
    await made.send(session, 1, b"G1 X1\n")
    await until(lambda: made.device.written == b"G1 X1\n")
    record = await made.port.stops.path.stop(StopAction.EMERGENCY_STOP, "somebody")
    assert record.sent == b"\nM112\n"


async def test_a_reset_byte_from_outside_drops_the_program_too(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    grbl.port.stops.realtime.write(b"\x18", "ann")
    assert results(session) == {1: CommandOutcome.FLUSHED}
    assert grbl.device.written == b"\x18"
