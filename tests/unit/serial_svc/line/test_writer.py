"""What reaches the device ahead of a program, and a device that takes nothing any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import FakeDevice
from fakes.waiting import until
from usbshare.line.settings import FlowControl, LineSettings
from usbshare.serial_svc.line import writer
from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.line.pacer import Pacer
from usbshare.serial_svc.line.scheduler import Ordering, Queued, Scheduler
from usbshare.serial_svc.line.writer import PortWriter

FAST = LineSettings(baud=12_000_000)
SHORT_S = 0.05


class Line:
    """A writer on a fake device, and a listener with a memory."""

    def __init__(self, write_timeout_s: float, settings: LineSettings = FAST) -> None:
        self.device = FakeDevice(settings)
        self.lost: list[str] = []
        self.told: list[tuple[int, int]] = []
        self.scheduler = Scheduler(max_commands=100, max_bytes=65536, promote_after_s=2.0)
        self.scheduler.add_source(self, Ordering.PROGRAM)
        self.writer = PortWriter(
            "laser",
            self.scheduler,
            Pacer(settings.bytes_per_s),
            PortCounters(),
            time.monotonic,
            self,
            write_timeout_s=write_timeout_s,
        )
        self.device.listener = self  # type: ignore[assignment]
        self.writer.attach(self.device)

    def submit(self, data: bytes, number: int = 1) -> None:
        self.scheduler.add(Queued(self, number, None, data, time.monotonic()))
        self.writer.pump()

    def command_written(self, command: Queued, now: float) -> None:
        self.told.append((command.command_id, command.written_bytes))

    def write_progressed(self) -> None:
        pass

    def writable(self) -> None:
        self.writer.writable()

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.writer.detach()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = Line(SHORT_S)
    yield made
    made.writer.detach()


async def quiet(line: Line) -> None:
    """Let the time pass after which a device that stands still would be lost."""
    await until(lambda: line.writer._stall._timer is None)
    assert line.lost == []


async def test_a_device_that_takes_no_byte_is_given_up(line: Line) -> None:
    line.device.capacity = 0
    line.submit(b"G1 X1\n")
    await until(lambda: line.lost == ["it has accepted no bytes for 0.05 s"])


async def test_a_tty_that_lets_its_bytes_lie_is_given_up(line: Line) -> None:
    line.device.unsent = 1 << 20
    line.submit(b"G1 X1\n")
    await until(lambda: line.lost)
    assert line.device.written == b""


async def test_polls_into_a_tty_that_lets_its_bytes_lie_do_not_keep_it(line: Line) -> None:
    line.device.unsent = 1 << 20
    line.submit(b"G1 X1\n")
    async with asyncio.timeout(30):
        while not line.lost:
            line.writer.polite(b"?")
            line.device.unsent += 1
            await asyncio.sleep(SHORT_S / 5)


async def test_urgent_bytes_that_are_not_accepted_give_it_up_too(line: Line) -> None:
    line.device.capacity = 0
    line.writer.urgent(b"!")
    await until(lambda: line.lost)


async def test_a_device_with_nothing_to_take_is_kept(line: Line) -> None:
    line.submit(b"G1 X1\n")
    await until(lambda: line.device.written == b"G1 X1\n")
    line.device.capacity = 0
    line.device.unsent = 1 << 20
    await quiet(line)


async def test_a_device_is_kept_that_took_the_rest_in_time(line: Line) -> None:
    line.device.capacity = 2
    line.submit(b"G1 X1\n")
    line.device.make_room(100)
    await until(lambda: line.device.written == b"G1 X1\n")
    await quiet(line)


async def test_a_device_is_kept_whose_queue_was_dropped_while_it_waited(line: Line) -> None:
    line.device.unsent = 1 << 20
    line.submit(b"G1 X1\n")
    line.scheduler.drop()
    await quiet(line)


async def test_a_device_is_kept_whose_queue_is_held(line: Line) -> None:
    line.device.unsent = 1 << 20
    line.submit(b"G1 X1\n")
    line.scheduler.hold(line)
    await quiet(line)


@pytest.mark.parametrize("flow_control", [FlowControl.RTS_CTS, FlowControl.XON_XOFF])
async def test_a_line_with_flow_control_may_stall(flow_control: FlowControl) -> None:
    line = Line(SHORT_S, replace(FAST, flow_control=flow_control))
    line.device.capacity = 0
    line.submit(b"G1 X1\n")
    await quiet(line)
    line.device.make_room(100)
    line.device.unsent = 1 << 20
    line.submit(b"G1 X2\n")
    await quiet(line)
    line.writer.detach()


async def test_without_a_timeout_nothing_is_given_up() -> None:
    line = Line(0.0)
    line.device.capacity = 0
    line.submit(b"G1 X1\n")
    await quiet(line)
    line.writer.detach()


async def test_a_stop_that_waits_survives_a_program_that_flushes(line: Line) -> None:
    line.device.capacity = 0
    line.writer.urgent(b"!")
    line.writer.discard_program()
    assert line.writer.urgent_waits
    line.device.make_room(100)
    assert line.device.written == b"!"


async def test_a_stop_that_the_driver_holds_survives_a_program_that_flushes(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.writer.urgent(b"\x18")
    line.writer.discard_program()
    assert line.device.discarded_outputs == 0
    monkeypatch.setattr(writer, "LEAVES_WITHIN_S", 0.0)
    line.writer.discard_program()
    assert line.device.discarded_outputs == 1


async def test_a_stop_that_throws_all_away_takes_what_waits_with_it(line: Line) -> None:
    line.device.capacity = 0
    line.writer.urgent(b"~")
    line.writer.discard()
    line.device.capacity = 100
    line.writer.urgent(b"\x18")
    assert line.device.written == b"\x18"


LINE = b"G1 X10.000 Y20.0000\n"


def queue_lines(line: Line, count: int) -> None:
    """Queue lines while the driver is full, so that all of them wait."""
    line.device.unsent = 1 << 20
    for number in range(count):
        line.submit(LINE, number)
    assert line.device.writes == []


async def test_small_commands_share_a_write_and_each_is_reported() -> None:
    line = Line(0.0)
    queue_lines(line, 10)
    line.device.unsent = 0
    line.writer.pump()
    assert line.device.writes == [LINE * 10]
    assert line.told == [(number, len(LINE)) for number in range(10)]


async def test_a_shared_write_is_no_more_than_the_lead_of_the_line() -> None:
    settings = LineSettings(baud=115200)
    line = Line(0.0, settings)
    queue_lines(line, 10)
    line.device.unsent = 0
    line.writer.pump()
    lead = Pacer(settings.bytes_per_s).lead_bytes
    assert b"".join(line.device.writes) == (LINE * 10)[:lead]
    line.writer.urgent(b"!")
    assert bytes(line.device.written) == (LINE * 10)[:lead] + b"!"
    assert line.told == [(0, len(LINE))]
    await until(lambda: bytes(line.device.written[lead + 1 :]) == (LINE * 10)[lead:])
    line.writer.detach()


async def test_only_the_bytes_that_the_driver_took_of_a_shared_write_count_as_written() -> None:
    line = Line(0.0)
    queue_lines(line, 5)
    line.device.unsent = 0
    line.device.capacity = 2 * len(LINE) + 3
    line.writer.pump()
    assert line.told == [(0, len(LINE)), (1, len(LINE))]
    dropped = [(command.command_id, command.written_bytes) for command in line.scheduler.drop()]
    assert dropped == [(2, 3), (3, 0), (4, 0)]


class HoldingDevice(FakeDevice):
    """A USB device of its own whose driver holds all that is written until it is emptied."""

    has_line_rate = False

    def write(self, data: bytes) -> int:
        taken = super().write(data)
        self.unsent += taken
        return taken


async def test_a_fast_usb_device_gets_small_commands_in_large_writes() -> None:
    line = Line(0.0, LineSettings(baud=115200))
    line.device = HoldingDevice(LineSettings(baud=115200))
    line.writer.attach(line.device)
    queue_lines(line, 100)
    while line.scheduler.commands:
        line.device.unsent = 0
        line.writer.pump()
    line.writer.detach()
    assert bytes(line.device.written) == LINE * 100
    assert len(line.device.writes) <= 40
    assert line.told == [(number, len(LINE)) for number in range(100)]
