"""Devices that fail, vanish or are slow, and the settings and lines of a port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import FakeDevice
from fakes.told_port import FAST, Bench, results, told
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceError,
)
from usbshare.client.serial.convert import remote_port
from usbshare.line.profiles import GRBL, StopAction
from usbshare.line.settings import LineSettings, ModemLines, SettingsChange
from usbshare.serial_svc.api.convert_port import port_message
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions import operation_queue
from usbshare.serial_svc.sessions import operations as line_operations
from usbshare.serial_svc.sessions.control_outbox import HIGH_WATER_BYTES
from usbshare.serial_svc.sessions.events import (
    CommandResult,
    LinesChanged,
    OperationOutcome,
    OperationResult,
    SettingsChanged,
)
from usbshare.serial_svc.sessions.operations import DRIVER_LOOK_S, LineOperations, LineStep


def bench(**changes: object) -> Bench:
    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST)
    return Bench(replace(config, **changes))  # type: ignore[arg-type]


@pytest.fixture
async def grbl() -> AsyncIterator[Bench]:
    made = bench()
    yield made
    made.device.unsent = 0
    await made.port.close()


async def test_a_device_that_does_not_open_leaves_the_port_free() -> None:
    made = bench()
    made.device.fails_to_open = "no permission"
    with pytest.raises(DeviceError, match="port 'laser': no permission"):
        await made.open()
    assert made.port.describe().holder is None
    assert made.port.describe().state is PortState.FAILED
    assert made.port.describe().state_reason == "no permission"
    made.device.fails_to_open = None
    await made.open()


async def test_settings_wait_for_the_bytes_before_and_hold_those_after(grbl: Bench) -> None:
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    grbl.device.capacity = 0
    await grbl.send(session, 1, b"before")
    session.operations.later(5, lambda: operations.configure(5, SettingsChange(baud=9600)))
    await grbl.send(session, 2, b"after")
    assert grbl.device.settings.baud == FAST.baud
    grbl.device.make_room(6)
    await until(lambda: grbl.device.settings.baud == 9600)
    assert grbl.device.written == b"before"
    grbl.device.make_room(100)
    await until(lambda: grbl.device.written == b"beforeafter")
    events = told(session)
    assert SettingsChanged(replace(FAST, baud=9600)) in events
    done = [e for e in events if isinstance(e, OperationResult)]
    assert done == [OperationResult(5, OperationOutcome.OK, settings=replace(FAST, baud=9600))]


async def test_settings_and_breaks_wait_for_what_the_driver_still_holds(grbl: Bench) -> None:
    """As cdc_acm does while its device takes nothing; a break goes past its buffers."""
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    grbl.device.has_line_rate = False
    await grbl.send(session, 1, b"before")
    grbl.device.unsent = 6
    session.operations.later(5, lambda: operations.configure(5, SettingsChange(baud=9600)))
    session.operations.later(6, lambda: operations.send_break(6, 0.001))
    await asyncio.sleep(10 * DRIVER_LOOK_S)
    assert grbl.device.settings.baud == FAST.baud
    assert grbl.device.line_log == []
    grbl.device.unsent = 0
    await until(lambda: grbl.device.line_log == [("break", True), ("break", False)])
    assert grbl.device.settings.baud == 9600


async def test_settings_are_not_changed_under_bytes_that_stay_in_the_driver(
    grbl: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_operations, "SETTLE_TIMEOUT_S", 0.05)
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    grbl.device.unsent = 6
    result = await operations.configure(5, SettingsChange(baud=9600))
    assert result.outcome is OperationOutcome.TIMEOUT
    assert grbl.device.settings.baud == FAST.baud


async def test_an_impossible_setting_is_refused_in_band(grbl: Bench) -> None:
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    session.operations.later(5, lambda: operations.configure(5, SettingsChange(data_bits=9)))
    await until(lambda: any(isinstance(e, OperationResult) for e in session.outbox._events))
    (done,) = (e for e in told(session) if isinstance(e, OperationResult))
    assert done.outcome is OperationOutcome.ERROR
    assert "settings.data_bits 9 is not 5, 6, 7 or 8" in done.message


async def test_a_sequence_of_lines_plays_in_order(grbl: Bench) -> None:
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    steps = [
        LineStep(dtr=False, rts=True, line_break=None, delay_s=0.001),
        LineStep(dtr=True, rts=False, line_break=True, delay_s=0.001),
    ]
    session.operations.later(1, lambda: operations.play(1, steps))
    await until(lambda: any(isinstance(e, OperationResult) for e in session.outbox._events))
    expected = [("dtr", False), ("rts", True), ("dtr", True), ("rts", False)]
    assert grbl.device.line_log == [*expected, ("break", True), ("break", False)]


async def test_lines_on_a_device_without_them_are_not_supported(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.has_modem_lines = False
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    session.operations.at_once(3, lambda: operations.set_lines(3, True, None))
    await until(lambda: any(isinstance(e, OperationResult) for e in session.outbox._events))
    (done,) = (e for e in told(session) if isinstance(e, OperationResult))
    assert done.outcome is OperationOutcome.NOT_SUPPORTED


async def test_a_flush_drops_the_queue_and_the_drivers_bytes(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    session.operations.flush(2, lambda: operations.flush(received=True, queued=True))
    assert (grbl.device.discarded_outputs, grbl.device.discarded_inputs) == (1, 1)
    assert grbl.port.line.scheduler.commands == 0
    assert CommandResult(1, CommandOutcome.FLUSHED) in [
        replace(e, queue_time_s=0.0, message="")
        for e in told(session)
        if isinstance(e, CommandResult)
    ]


async def test_bytes_wait_and_a_stop_does_not_while_a_device_empties_its_input(grbl: Bench) -> None:
    """A reply to what is written sooner would be discarded: RFC 2217's PURGE_DATA takes time."""
    session = await grbl.open()
    grbl.device.emptying = emptying = asyncio.get_running_loop().create_future()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    session.operations.flush(2, lambda: operations.flush(received=True, queued=False))
    await grbl.send(session, 1, b"$I\n")
    await grbl.port.stops.path.stop(StopAction.HOLD, "somebody")
    assert grbl.device.written == b"!"
    emptying.set_result(None)
    await until(lambda: grbl.device.written.endswith(b"$I\n"))
    assert [e.outcome for e in told(session) if isinstance(e, OperationResult)] == [
        OperationOutcome.OK
    ]


async def test_a_device_that_does_not_empty_its_input_is_told_and_keeps_nothing_back(
    grbl: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_queue, "EMPTY_TIMEOUT_S", 0.01)
    session = await grbl.open()
    grbl.device.emptying = asyncio.get_running_loop().create_future()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    session.operations.flush(2, lambda: operations.flush(received=True, queued=False))
    await grbl.send(session, 1, b"$I\n")
    await until(lambda: grbl.device.written == b"$I\n")
    (done,) = (e for e in told(session) if isinstance(e, OperationResult))
    assert done.outcome is OperationOutcome.TIMEOUT


async def test_a_lost_device_fails_what_is_queued_and_comes_back(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent = 1 << 20
    await grbl.send(session, 1, b"G1 X10\n")
    epoch = grbl.port.line.latch.epoch
    grbl.device.vanish()
    assert results(session) == {1: CommandOutcome.FAILED}
    assert grbl.port.describe().state is PortState.ABSENT
    grbl.device.unsent = 0
    await until(lambda: grbl.port.line.is_open)
    assert grbl.port.line.latch.epoch > epoch
    assert grbl.device.written == b""
    await grbl.send(session, 2, b"old", epoch=epoch)
    assert results(session) == {2: CommandOutcome.FENCED}


async def test_a_device_that_refuses_a_write_is_given_up(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.broken = "input/output error"
    await grbl.send(session, 1, b"G1 X10\n")
    assert results(session)[1] is CommandOutcome.FAILED
    assert grbl.port.line.counters.device_errors == 1


async def test_a_device_that_vanishes_while_it_is_opened_is_not_believed_open(grbl: Bench) -> None:
    grbl.device.vanishes_while_opened = "unplugged"
    with pytest.raises(DeviceError, match="unplugged"):
        await grbl.open()
    assert not grbl.port.line.is_open
    grbl.device.vanishes_while_opened = None
    await grbl.open()
    assert grbl.port.line.is_open


async def test_modem_lines_are_pushed_to_every_session(grbl: Bench) -> None:
    session = await grbl.open()
    lines = replace(grbl.device.lines(), dsr=True)
    grbl.port.line.lines_changed(lines)
    assert LinesChanged(lines) in told(session)


async def test_a_device_that_can_wait_is_held_back_by_a_slow_controller(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.say(b"x" * HIGH_WATER_BYTES)
    assert grbl.device.line_log == [("paused", True)]
    told(session)
    assert grbl.device.line_log == [("paused", True), ("paused", False)]


async def test_a_controller_that_leaves_lets_the_device_go_on(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.say(b"x" * HIGH_WATER_BYTES)
    session.end("lost")
    assert grbl.device.line_log == [("paused", True), ("paused", False)]


async def test_a_device_that_fails_while_a_session_opens_leaves_the_port_free() -> None:
    made = bench()
    lines = made.device.lines
    made.device.lines = _failing  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="gone"):
        await made.open("one")
    assert made.port.describe().holder is None
    made.device.lines = lines  # type: ignore[method-assign]
    await made.open("two")


def _failing() -> ModemLines:
    raise DeviceError("gone")


async def test_a_device_that_fails_when_asked_what_it_holds_is_given_up(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent_bytes = _failing  # type: ignore[method-assign, assignment]
    await grbl.send(session, 1, b"G1 X10\n")
    assert results(session) == {1: CommandOutcome.FAILED}
    assert grbl.port.line.counters.device_errors == 1


async def test_bytes_of_an_abandoned_device_are_ignored() -> None:
    devices: list[FakeDevice] = []

    def make(settings: LineSettings) -> FakeDevice:
        devices.append(FakeDevice(settings))
        return devices[-1]

    port = SerialPort(
        PortConfig("laser", "fake", profile=GRBL, settings=FAST), make, time.monotonic, lambda: None
    )
    await port.line.ensure_open()
    port.line.device_lost("write failed")
    await port.line.ensure_open()
    devices[0].vanish("a late notice")
    devices[0].say(b"ghost")
    assert port.line.is_open
    assert port.line.read_offset == 0
    await port.close()


async def test_settings_begun_are_finished_though_their_client_leaves(grbl: Bench) -> None:
    session = await grbl.open()
    operations = LineOperations(grbl.port.line, session, grbl.port.audit)
    going = asyncio.Event()
    configure = grbl.device.configure

    async def slow(settings: LineSettings) -> LineSettings:
        await going.wait()
        return await configure(settings)

    grbl.device.configure = slow  # type: ignore[method-assign]
    session.operations.later(1, lambda: operations.configure(1, SettingsChange(baud=9600)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    session.end("lost")
    going.set()
    await until(lambda: grbl.port.line.settings.baud == 9600)


async def test_whether_the_adapter_hands_over_at_once_is_reported_while_it_is_open() -> None:
    bench = Bench(PortConfig("laser", "fake"))
    bench.device.low_latency = False
    assert bench.port.describe().low_latency is None
    await bench.port.line.ensure_open()
    description = bench.port.describe()
    assert description.low_latency is False
    assert remote_port(port_message(description)).low_latency is False
    await bench.port.close()
