"""A port's device is closed in fact, and an absent one is absent, whoever is cancelled."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.device import FakeDevice
from fakes.port_bench import Bench as PortBench
from fakes.serial_device import SerialDevice
from fakes.waiting import until
from usbshare.base.errors import DeviceAbsentError, DeviceError
from usbshare.line.settings import DeviceListener, LineSettings
from usbshare.serial_svc.line import keeper
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, UsbIdentity
from usbshare.serial_svc.ports import port
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Mode
from usbshare.serial_svc.sessions.events import OperationResult, PortChanged

DEADLINE_S = 20.0


class SlowDevice(FakeDevice):
    """Closes when it may, as a driver that waits for output which nobody takes; see posix_open."""

    def __init__(self) -> None:
        super().__init__()
        self.may_close = asyncio.Event()
        self.is_absent = False
        self.is_closed = False
        self.opened = 0

    async def open(self, listener: DeviceListener) -> None:
        if self.is_absent:
            raise DeviceAbsentError("the fake is not there: is it plugged in and switched on?")
        await super().open(listener)
        self.opened += 1

    async def close(self) -> None:
        await self.may_close.wait()
        await super().close()
        self.is_closed = True


class Bench:
    """A port whose devices are made in a row, all alike."""

    def __init__(self) -> None:
        self.made: list[SlowDevice] = []
        self.is_absent = False
        self.port = SerialPort(
            PortConfig("laser", "fake"), self._make, time.monotonic, lambda: None
        )

    def _make(self, settings: LineSettings) -> SlowDevice:
        device = SlowDevice()
        device.is_absent = self.is_absent
        if self.is_absent:
            device.may_close.set()
        self.made.append(device)
        return device

    async def watched(self) -> list[PortState]:
        """Open a session; returns the states that it is told, as they come."""
        states: list[PortState] = []
        session = await self.port.open_session(Client("s", "id", "test", "peer", Mode.OBSERVE))
        tell = session.outbox.put

        def send(event: object) -> None:
            if isinstance(event, PortChanged):
                states.append(event.port.state)
            tell(event)  # type: ignore[arg-type]

        session.outbox.put = send  # type: ignore[method-assign]
        return states


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "REOPEN_INTERVAL_S", 0.01)
    monkeypatch.setattr(keeper, "CLOSE_TIMEOUT_S", 0.05)


async def test_a_device_that_is_taken_away_is_closed_though_the_port_ends_at_once() -> None:
    bench = Bench()
    await bench.port.line.ensure_open()
    (device,) = bench.made
    device.may_close.set()
    await bench.port.withdraw("quarantined")
    await bench.port.close()  # before any task has had a turn
    assert device.is_closed


async def test_a_port_whose_device_closes_slowly_ends_in_time_and_closes_it_later() -> None:
    bench = Bench()
    await bench.port.line.ensure_open()
    await asyncio.wait_for(bench.port.close(), DEADLINE_S)
    (device,) = bench.made
    assert not device.is_closed
    device.may_close.set()
    await until(lambda: device.is_closed)


async def test_a_device_is_not_opened_before_it_is_closed_and_no_other_program_is_blamed() -> None:
    bench = Bench()
    await bench.port.line.ensure_open()
    (device,) = bench.made
    device.vanish()
    with pytest.raises(DeviceError, match="its driver is still closing it"):
        await bench.port.line.ensure_open()
    assert len(bench.made) == 1
    device.may_close.set()
    await until(lambda: bench.port.line.is_open)
    assert device.is_closed
    bench.made[-1].may_close.set()
    await bench.port.close()


async def test_an_unplugged_device_stays_absent_for_its_first_reason() -> None:
    bench = Bench()
    states = await bench.watched()
    (device,) = bench.made
    device.may_close.set()
    bench.is_absent = True
    device.vanish("/dev/ttyACM0 is gone: it hung up")
    await until(lambda: len(bench.made) > 5)
    seen = bench.port.describe()
    assert (seen.state, seen.state_reason) == (PortState.ABSENT, "/dev/ttyACM0 is gone: it hung up")
    assert states == [PortState.ABSENT]
    bench.is_absent = False
    await until(lambda: bench.port.line.is_open)
    bench.made[-1].may_close.set()
    await bench.port.close()


async def test_a_device_that_was_never_there_is_absent_and_one_that_fails_has_failed() -> None:
    bench = Bench()
    bench.is_absent = True
    with pytest.raises(DeviceError, match="is not there"):
        await bench.port.line.ensure_open()
    assert bench.port.describe().state is PortState.ABSENT
    await bench.port.close()


async def test_an_opening_that_is_cancelled_closes_what_it_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, configuring = Bench(), asyncio.Event()

    async def never_ends(_: FakeDevice, settings: LineSettings) -> LineSettings:
        configuring.set()
        await asyncio.Event().wait()
        return settings

    monkeypatch.setattr(SlowDevice, "configure", never_ends)
    bench.port.line.settings = LineSettings(baud=9600)
    opening = asyncio.create_task(bench.port.line.ensure_open())
    await configuring.wait()
    (device,) = bench.made
    opening.cancel()
    await asyncio.sleep(0)
    opening.cancel()  # whoever waits for the closing may be cancelled too
    with suppress(asyncio.CancelledError):
        await opening
    assert not device.is_closed
    device.may_close.set()
    await bench.port.close()
    await until(lambda: device.is_closed)


@pytest.mark.skipif(os.name != "posix", reason="needs ptys")
def tasks_beside(others: set[asyncio.Task[object]]) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() - others]


async def looks_for_its_device(bench: PortBench) -> None:
    await bench.open()
    bench.device.vanish()


async def waits_for_a_lost_jobs_machine(bench: PortBench) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.watch.lose("cut")
    client.session.end("cut")


async def waits_for_what_a_session_asked(bench: PortBench) -> None:
    session = (await bench.open()).session

    async def never() -> OperationResult:
        await asyncio.Event().wait()
        raise AssertionError

    session.operations.later(1, never)
    session.operations.at_once(2, never)


@pytest.mark.parametrize(
    "begin",
    [looks_for_its_device, waits_for_a_lost_jobs_machine, waits_for_what_a_session_asked],
)
async def test_nothing_that_a_port_began_outlives_it(
    begin: Callable[[PortBench], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "CLOSE_TIMEOUT_S", 0.05)
    others = asyncio.all_tasks()
    bench = PortBench()
    await begin(bench)
    await asyncio.sleep(0)
    assert tasks_beside(others)
    await bench.port.close()
    assert not tasks_beside(others)


async def test_a_device_that_is_being_opened_when_its_port_ends_is_closed() -> None:
    bench, may_open = Bench(), asyncio.Event()
    opening = SlowDevice.open

    async def open_late(device: SlowDevice, listener: DeviceListener) -> None:
        await may_open.wait()
        await opening(device, listener)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlowDevice, "open", open_late)
        asked = asyncio.create_task(bench.port.line.ensure_open())
        await asyncio.sleep(0)
        await bench.port.close()
        may_open.set()
        bench.made[0].may_close.set()
        with pytest.raises(DeviceError, match="closed in the meantime"):
            await asked
    assert bench.made[0].is_closed
    assert not bench.port.line.is_open


async def test_quarantine_leaves_no_descriptor_on_a_real_device(tmp_path: Path) -> None:
    with SerialDevice(tmp_path / "laser") as laser:
        path = str(laser.link.readlink())
        registry = Registry(time.monotonic)
        usb = UsbIdentity(0x1A86, 0x7523, "X1")
        port = registry.add(PortConfig("laser", str(laser.link), usb=usb))
        await port.line.ensure_open()
        assert holders(path)
        await port.withdraw("quarantined: not on the list")
        await registry._ports.pop("laser").close()
        await until(lambda: len(holders(path)) == 1)  # the fake's own


def holders(path: str) -> list[str]:
    """Return this process's descriptors of a device; the fake holds one itself."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == path:
                found.append(name)
    return found
