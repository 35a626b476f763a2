"""Every driver that people have carries a program at the line's rate, and a stop is never late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fakes.device import FakeDevice
from fakes.tty_drivers import DRIVERS, Driver, FarEnd
from fakes.virtual_time import run_in_virtual_time
from fakes.waiting import until
from usbshare.line.settings import LineSettings
from usbshare.line.unsent import Unsent
from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.line.pacer import LEAD_S, Pacer
from usbshare.serial_svc.line.scheduler import Ordering, Queued, Scheduler
from usbshare.serial_svc.line.writer import PortWriter

RATE = 11520.0
LINE = b"G1 X10.000 Y20.0000\n"
GRAIN_S = 0.001
BUSY_GRAIN_S = 0.010
EVERY_DRIVER = pytest.mark.parametrize("name", DRIVERS)
# Lines of one command: what a program sends that waits, and what a bridge gathers of one that does
# not.
LINES = pytest.mark.parametrize("lines", [1, 4, 20])


class DriverDevice(FakeDevice):
    """A device behind a driver, asked as PosixDevice asks."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(LineSettings())
        self.driver = driver
        self.has_line_rate = driver.has_line_rate
        self._unsent = Unsent()

    def write(self, data: bytes) -> int:
        taken = self.driver.write(data)
        self._unsent.wrote(taken)
        return taken

    def unsent_bytes(self) -> int:
        return self._unsent.believed(self.driver.chars_in_buffer())


class Rig:
    """A writer, a driver and the device behind it; `ahead` is what stood on the host at most."""

    def __init__(self, name: str, device_rate: float = RATE, write_timeout_s: float = 60.0) -> None:
        make, buffer_bytes = DRIVERS[name]
        loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = loop.time
        self.far_end = FarEnd(loop.time, device_rate, buffer_bytes)
        self.driver = make(self.far_end)
        self.device = DriverDevice(self.driver)
        self.scheduler = Scheduler(max_commands=100, max_bytes=65536, promote_after_s=2.0)
        self.scheduler.add_source(self, Ordering.PROGRAM)
        pacer = Pacer(LineSettings().bytes_per_s)
        self.writer = PortWriter(
            "laser",
            self.scheduler,
            pacer,
            PortCounters(),
            loop.time,
            self,
            write_timeout_s=write_timeout_s,
        )
        self.line = LINE
        self.ahead_bytes = 0
        self.lost: list[str] = []
        self.writer.attach(self.device)

    def fill(self) -> None:
        while self.scheduler.has_room(len(self.line)):
            self.scheduler.add(Queued(self, 1, None, self.line, self.now()))
        self.writer.pump()

    async def send_for(self, seconds: float, step_s: float = GRAIN_S) -> float:
        """Keep the queue full for that long; returns the bytes per second that the device got."""
        start, before = self.now(), self.far_end.taken_bytes
        while self.now() - start < seconds:
            self.fill()
            await asyncio.sleep(step_s)
            self.ahead_bytes = max(self.ahead_bytes, self.driver.held_bytes())
        return (self.far_end.taken_bytes - before) / (self.now() - start)

    def command_written(self, command: Queued, now: float) -> None:
        pass

    def write_progressed(self) -> None:
        pass

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.writer.detach()


def in_virtual_time(
    test: Callable[[], Coroutine[Any, Any, None]], grain_s: float = GRAIN_S
) -> None:
    run_in_virtual_time(test(), grain_s)


@EVERY_DRIVER
def test_a_program_gets_the_whole_line(name: str) -> None:
    async def run() -> None:
        rig = Rig(name)
        await rig.send_for(0.5)
        assert await rig.send_for(2.0) >= 0.95 * RATE

    in_virtual_time(run)


@EVERY_DRIVER
@LINES
def test_only_a_few_milliseconds_of_line_precede_a_stop(name: str, lines: int) -> None:
    async def run() -> None:
        rig = Rig(name)
        rig.line = LINE * lines
        await rig.send_for(0.5)
        rig.ahead_bytes = 0
        await rig.send_for(2.0)
        assert rig.ahead_bytes <= 2 * RATE * (LEAD_S + GRAIN_S)

    in_virtual_time(run)


@EVERY_DRIVER
@pytest.mark.parametrize("size", [1, 7, 20, 80])
def test_a_program_that_waits_for_each_answer_is_not_slowed(name: str, size: int) -> None:
    async def run() -> None:
        rig = Rig(name)
        start, lines = rig.now(), 50
        for _ in range(lines):
            before = rig.far_end.taken_bytes
            rig.scheduler.add(Queued(rig, 1, None, b"x" * size, rig.now()))
            rig.writer.pump()
            while rig.far_end.taken_bytes - before < size:
                await asyncio.sleep(GRAIN_S)
                rig.driver.held_bytes()
        # Each line may cost a grain to look and one to be paced; 10 to 887 ms were what it cost.
        assert (rig.now() - start) / lines <= size / RATE + 3 * GRAIN_S

    in_virtual_time(run)


@EVERY_DRIVER
def test_written_bytes_count_as_sent_once_they_are(name: str) -> None:
    async def run() -> None:
        rig = Rig(name)
        rig.writer.urgent(LINE)
        await until(lambda: not rig.device.unsent_bytes(), timeout_s=1)
        assert rig.driver.held_bytes() == 0 or rig.driver.chars_in_buffer() == 0

    in_virtual_time(run)


@EVERY_DRIVER
def test_a_flush_that_does_nothing_is_not_believed(name: str) -> None:
    async def run() -> None:
        rig = Rig(name)
        rig.far_end.stands_still = True
        rig.far_end.take(1 << 20)  # its own buffer is full
        rig.driver.write(b"x" * 64)
        rig.device._unsent.wrote(64)
        rig.driver.flush_buffer()
        assert rig.device.unsent_bytes() == min(64, rig.driver.chars_in_buffer())

    in_virtual_time(run)


OWN_RATE = [name for name in DRIVERS if "acm" in name or "usbser" in name]


@pytest.mark.parametrize("name", OWN_RATE)
@pytest.mark.parametrize("factor", [3, 10, 50])
@pytest.mark.parametrize("at_once", [False, True], ids=["looked at", "gone before a look"])
def test_a_device_that_takes_more_than_its_baud_rate_carries_gets_it(
    name: str, factor: float, at_once: bool
) -> None:
    async def run() -> None:
        rig = Rig(name, device_rate=factor * RATE)
        rig.far_end.ends_at_once = at_once
        rig.line = LINE * 20  # what a bridge gathers of a program that does not wait
        await rig.send_for(0.5)
        assert await rig.send_for(1.0) >= 0.95 * factor * RATE

    in_virtual_time(run)


@pytest.mark.parametrize("name", OWN_RATE)
@pytest.mark.parametrize("at_once", [False, True], ids=["looked at", "gone before a look"])
@LINES
def test_a_computer_that_checks_late_does_not_slow_a_device_with_native_usb(
    name: str, at_once: bool, lines: int
) -> None:
    async def run() -> None:
        rig = Rig(name)
        rig.far_end.ends_at_once = at_once
        rig.line = LINE * lines
        await rig.send_for(0.5)
        rig.ahead_bytes = 0
        assert await rig.send_for(2.0) >= 0.95 * RATE
        assert rig.ahead_bytes <= 2 * RATE * (LEAD_S + BUSY_GRAIN_S)

    in_virtual_time(run, BUSY_GRAIN_S)


@pytest.mark.parametrize("name", OWN_RATE)
@LINES
def test_a_fast_device_that_slows_down_has_little_before_a_stop(name: str, lines: int) -> None:
    async def run() -> None:
        rig = Rig(name, device_rate=20 * RATE)
        rig.line = LINE * lines
        await rig.send_for(2.0)
        rig.far_end.slow_down(RATE / 4)
        await rig.send_for(2.0)
        rig.ahead_bytes = 0
        await rig.send_for(1.0)
        assert rig.ahead_bytes <= 2 * RATE * (LEAD_S + GRAIN_S)

    in_virtual_time(run)


@pytest.mark.parametrize("name", OWN_RATE)
def test_a_device_that_makes_the_host_wait_while_it_moves_is_kept(name: str) -> None:
    async def run() -> None:
        rig = Rig(name, write_timeout_s=60.0)
        rig.far_end.stands_still = True
        await rig.send_for(150.0, step_s=1.0)
        assert not rig.lost
        rig.far_end.stands_still = False
        assert await rig.send_for(5.0) >= 0.95 * RATE

    in_virtual_time(run)


@pytest.mark.parametrize("name", ["ftdi_sio", "ch341", "cp210x", "pl2303", "usb-serial-generic"])
def test_an_adapter_whose_line_stalls_is_given_up(name: str) -> None:
    async def run() -> None:
        rig = Rig(name, write_timeout_s=60.0)
        rig.far_end.stands_still = True
        await rig.send_for(65.0, step_s=1.0)
        assert rig.lost

    in_virtual_time(run)
