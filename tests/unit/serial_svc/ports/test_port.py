"""A port and its sessions: who may write, what is told, what a stop does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import FakeDevice
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    PermissionDeniedError,
    PortHeldError,
)
from usbshare.client.serial.convert import remote_port
from usbshare.line.profiles import AUTO, GRBL, MARLIN, RAW, Priority, StopAction
from usbshare.line.settings import LineSettings, ModemLines, SettingsChange
from usbshare.serial_svc.api.convert_port import port_message
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.line.scheduler import CommandOutcome, Ordering
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions import operations as line_operations
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.control_outbox import HIGH_WATER_BYTES
from usbshare.serial_svc.sessions.events import (
    CommandResult,
    Data,
    LinesChanged,
    Opened,
    OperationOutcome,
    OperationResult,
    PortChanged,
    SessionEvent,
    SettingsChanged,
)
from usbshare.serial_svc.sessions.operations import DRIVER_LOOK_S, LineOperations, LineStep
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop import stop_path

FAST = LineSettings(baud=12_000_000)


class Bench:
    """A port on a fake device, with sessions that remember what they were told."""

    def __init__(self, config: PortConfig) -> None:
        self.device = FakeDevice(config.settings)
        self.port = SerialPort(config, self._make, time.monotonic, self._changed)
        self.changes = 0
        self.offsets: dict[Session, int] = {}

    def _make(self, settings: LineSettings) -> FakeDevice:
        return self.device

    def _changed(self) -> None:
        self.changes += 1

    async def open(
        self,
        name: str = "one",
        mode: Mode = Mode.CONTROL,
        ordering: Ordering = Ordering.PROGRAM,
    ) -> Session:
        client = Client(name, f"usbshare://site/{name}", name, "127.0.0.1:1", mode, ordering)
        return await self.port.open_session(client)

    async def send(
        self, session: Session, number: int, data: bytes, epoch: int | None = None
    ) -> None:
        offset = self.offsets.get(session, 0)
        self.offsets[session] = offset + len(data)
        epoch = self.port.line.latch.epoch if epoch is None else epoch
        await session.command(Command(number, None, epoch, offset, data))


def told(session: Session) -> list[SessionEvent]:
    """Take all that waits in a session's outbox, in order."""
    events: list[SessionEvent] = []
    outbox = session.outbox
    while outbox._events or outbox._has_data():
        events.append(outbox._events.popleft() if outbox._events else outbox._take_data(0.0))
    return events


def results(session: Session) -> dict[int, CommandOutcome]:
    return {e.command_id: e.outcome for e in told(session) if isinstance(e, CommandResult)}


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


@pytest.mark.parametrize("size", [0, 4097])
async def test_a_command_of_a_wrong_size_is_refused(grbl: Bench, size: int) -> None:
    session = await grbl.open()
    with pytest.raises(InvalidArgumentError, match=f"command.data has {size} bytes"):
        await session.command(Command(1, None, 1, 0, b"x" * size))


async def test_a_command_that_does_not_follow_on_is_refused(grbl: Bench) -> None:
    session = await grbl.open()
    with pytest.raises(InvalidArgumentError, match=r"command.offset is 5; expected 0"):
        await session.command(Command(1, None, 1, 5, b"x"))


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


async def test_auto_becomes_the_firmware_that_speaks() -> None:
    made = bench(profile=None)
    session = await made.open()
    assert made.port.line.profile is AUTO
    made.device.say(b"\r\nGrbl 1.1h ['$' for help]\r\n")
    assert made.port.line.profile is GRBL
    changes = [e for e in told(session) if isinstance(e, PortChanged)]
    assert changes[-1].port.profile == "grbl"
    assert changes[-1].port.configured_profile == "auto"


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
    session.operations.flush(2, lambda: operations.flush(2, received=True, queued=True))
    assert (grbl.device.discarded_outputs, grbl.device.discarded_inputs) == (1, 1)
    assert grbl.port.line.scheduler.commands == 0
    assert CommandResult(1, CommandOutcome.FLUSHED) in [
        replace(e, queue_time_s=0.0, message="")
        for e in told(session)
        if isinstance(e, CommandResult)
    ]


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


async def test_a_device_that_can_wait_is_held_back_by_a_slow_controller(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.say(b"x" * HIGH_WATER_BYTES)
    assert grbl.device.line_log == [("paused", True)]
    told(session)
    assert grbl.device.line_log == [("paused", True), ("paused", False)]


async def test_a_slow_observer_delays_no_other(grbl: Bench) -> None:
    await grbl.open("watcher", Mode.OBSERVE)
    grbl.device.say(b"x" * HIGH_WATER_BYTES)
    assert grbl.device.line_log == []


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
    with pytest.raises(DeviceError, match="accepts no bytes; the stop will be the first"):
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


async def test_a_device_that_fails_when_asked_what_it_holds_is_given_up(grbl: Bench) -> None:
    session = await grbl.open()
    grbl.device.unsent_bytes = _failing  # type: ignore[method-assign, assignment]
    await grbl.send(session, 1, b"G1 X10\n")
    assert results(session) == {1: CommandOutcome.FAILED}
    assert grbl.port.line.counters.device_errors == 1


async def test_what_a_device_says_after_it_was_given_up_is_no_news() -> None:
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


async def test_whether_the_adapter_hands_over_at_once_is_reported_while_it_is_open() -> None:
    bench = Bench(PortConfig("laser", "fake"))
    bench.device.low_latency = False
    assert bench.port.describe().low_latency is None
    await bench.port.line.ensure_open()
    description = bench.port.describe()
    assert description.low_latency is False
    assert remote_port(port_message(description)).low_latency is False
    await bench.port.close()
