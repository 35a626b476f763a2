"""What a stop says of itself: its times, who it was, and never a success that was none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import ReportingDevice
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.line.profiles import GRBL, Profile, StopAction
from usbshare.line.settings import Completion, LineSettings
from usbshare.serial_svc.api.convert_stats import stats_message
from usbshare.serial_svc.line import writer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.stop import stop_path
from usbshare.serial_svc.stop.audit import StopRecord

FAST = LineSettings(baud=12_000_000)
HOLD = StopAction.HOLD
CLIENT = Client("s1", "alice", "laser program", "127.0.0.1:1", Mode.CONTROL)


class Bench:
    """A port on a fake device."""

    def __init__(self, profile: Profile = GRBL) -> None:
        self.device = ReportingDevice(FAST)
        config = PortConfig("laser", "fake", profile=profile, settings=FAST)
        self.port = SerialPort(config, lambda _: self.device, time.monotonic, lambda: None)

    async def stop(self, action: StopAction = HOLD, why: str = "") -> StopRecord:
        return await self.port.stops.path.stop(action, "bob", why)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(stop_path, "TAKE_TIMEOUT_S", 0.05)
    made = Bench()
    await made.port.line.ensure_open()
    yield made
    await made.port.close()


async def test_a_stop_reports_when_its_bytes_were_written_and_when_they_had_left(
    bench: Bench,
) -> None:
    record = await bench.stop()
    assert record.drain_delay_s is not None
    assert 0 <= record.write_delay_s <= record.drain_delay_s


async def test_a_device_that_does_not_report_it_has_no_drain_time(bench: Bench) -> None:
    bench.device.drains = Completion.ASSUMED_SUCCESS
    assert (await bench.stop()).drain_delay_s is None


async def test_bytes_that_do_not_leave_hold_the_answer_only_so_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_path, "DRAIN_TIMEOUT_S", 0.02)
    bench.device.unsent = 1
    record = await bench.stop()
    assert bench.device.written == b"!"
    assert record.drain_delay_s is None


async def test_the_programs_bytes_behind_a_stop_are_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_path, "DRAIN_TIMEOUT_S", 30.0)
    bench.device.unsent = 10
    stopping = asyncio.create_task(bench.stop())
    await until(lambda: bench.device.written == b"!")
    bench.port.line.counters.written_bytes += 46  # a slice of the program
    bench.device.unsent = 46
    bench.device.drains = Completion.TIMEOUT
    assert (await stopping).drain_delay_s is not None


async def test_a_device_lost_while_it_drains_has_no_drain_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_path, "DRAIN_TIMEOUT_S", 30.0)
    bench.device.unsent = 10

    def gone() -> int:
        raise DeviceError("unplugged")

    stopping = asyncio.create_task(bench.stop())
    await until(lambda: bench.device.written == b"!")
    bench.device.unsent_bytes = gone  # type: ignore[method-assign]
    assert (await stopping).drain_delay_s is None


async def test_the_log_has_who_when_and_why(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.stop(StopAction.EMERGENCY_STOP, "smoke")
    (line,) = [r.getMessage() for r in caplog.records if "emergency stop" in r.getMessage()]
    for part in ("'laser'", "by bob", r"\x18", "drained after", "smoke"):
        assert part in line


async def test_a_stop_that_is_not_taken_is_no_success_and_logged_with_who(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.device.capacity = 0
    with pytest.raises(DeviceError, match="accepts no bytes"):
        await bench.stop()
    assert "hold on port 'laser' by bob FAILED" in caplog.text


async def test_a_device_without_lines_is_stopped_where_dtr_is_to_drop_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drops = replace(GRBL.stops[StopAction.EMERGENCY_STOP], drop_dtr=True)
    profile = replace(GRBL, stops={**GRBL.stops, StopAction.EMERGENCY_STOP: drops})
    bench = Bench(profile)
    bench.device.has_modem_lines = False
    session = await bench.port.open_session(CLIENT)
    bench.device.capacity = 0
    await session.command(Command(1, None, bench.port.line.latch.epoch, 0, b"G1 X10 F100\n"))
    bench.device.capacity = 64
    record = await bench.stop(StopAction.EMERGENCY_STOP)
    assert (record.sent, record.fenced_commands) == (b"\x18", 1)
    assert bench.device.written.endswith(b"\x18")
    assert "DTR" in caplog.text
    await bench.port.close()


async def test_a_stop_that_cannot_be_handed_over_fences_the_program_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await bench.port.open_session(CLIENT)
    bench.device.capacity = 0
    await session.command(Command(1, None, bench.port.line.latch.epoch, 0, b"G1 X10 F100\n"))
    monkeypatch.setattr(writer, "MOST_URGENT_BYTES", 0)
    with pytest.raises(DeviceError, match="accepts no bytes"):
        await bench.stop(StopAction.EMERGENCY_STOP)
    assert bench.port.line.scheduler.commands == 0


async def test_stop_times_are_counted_and_reported(bench: Bench) -> None:
    await bench.stop()
    await bench.stop(StopAction.RESUME)
    counted = bench.port.line.counters.stop_write_time
    assert (counted.count, bench.port.line.counters.stops) == (2, 2)
    message = stats_message(bench.port)
    assert message.stop_write_time.count == 2
    assert (message.lost_sessions, message.link_loss_actions) == (0, 0)
