"""A latch comes before everything else of a stop, and only who saw that stop can release it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fakes.device import FakeDevice
from usbshare.base.errors import DeviceError, InvalidArgumentError, PortLatchedError
from usbshare.line.profiles import GRBL, StopAction
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.latch import Latch
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.events import CommandResult
from usbshare.serial_svc.stop import stop_path

FAST = LineSettings(baud=12_000_000)
EMERGENCY = StopAction.EMERGENCY_STOP


class Bench:
    """A port on a fake device, and what was kept of its latch."""

    def __init__(self) -> None:
        self.device = FakeDevice(FAST)
        self.kept: list[tuple[bool, bytes]] = []
        latch = Latch(on_keep=self._keep)
        config = PortConfig("laser", "fake", profile=GRBL, settings=FAST, link_timeout_s=30.0)
        self.port = SerialPort(
            config, lambda _: self.device, time.monotonic, lambda: None, latch=latch
        )

    def _keep(self, latch: Latch) -> None:
        self.kept.append((latch.record is not None, self.written))

    @property
    def written(self) -> bytes:
        return bytes(self.device.written)

    async def stop(self, who: str = "bob", why: str = "") -> int:
        return (await self.port.stops.path.stop(EMERGENCY, who, why)).epoch


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(stop_path, "TAKE_TIMEOUT_S", 0.05)
    made = Bench()
    yield made
    await made.port.close()


async def test_a_stop_without_a_device_latches_and_says_that_nothing_was_sent(
    bench: Bench,
) -> None:
    bench.device.fails_to_open = "unplugged"
    with pytest.raises(DeviceError, match=r"unplugged.*; the port is latched"):
        await bench.stop()
    assert bench.port.line.latch.is_set
    assert bench.kept == [(True, b"")]
    bench.device.fails_to_open = None
    client = Client("one", "ann", "ann", "127.0.0.1:1", Mode.CONTROL)
    session = await bench.port.open_session(client)
    await session.command(Command(1, None, bench.port.line.latch.epoch, 0, b"G1 X10\n"))
    (result,) = [e for e in session.outbox._events if isinstance(e, CommandResult)]
    assert result.outcome is CommandOutcome.REFUSED
    assert "re-arm it first: stopped by bob" in result.message
    assert bench.written == b""


async def test_a_port_is_latched_while_its_device_is_still_being_opened(bench: Bench) -> None:
    opening = asyncio.Event()
    goes_on = asyncio.Event()

    async def slow(listener: object) -> None:
        opening.set()
        await goes_on.wait()

    bench.device.open = slow  # type: ignore[method-assign]
    stopping = asyncio.create_task(bench.stop())
    await opening.wait()
    assert bench.port.line.latch.is_set
    assert bench.kept == [(True, b"")]
    bench.port.stops.path.rearm("ann", bench.port.line.latch.epoch)
    goes_on.set()
    await stopping
    assert bench.written == b"\x18"
    assert bench.port.line.latch.is_set, "the byte came after the re-arming"


async def test_the_latch_is_kept_after_the_byte(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    bench.kept.clear()
    await bench.stop()
    assert bench.kept == [(True, b"\x18")]


async def test_a_stop_that_the_device_does_not_take_leaves_the_port_latched(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    bench.port.stops.machine.activity.works(time.monotonic())
    bench.device.capacity = 0
    with pytest.raises(DeviceError, match=r"accepts no bytes.*; the port is latched"):
        await bench.stop()
    assert bench.port.line.latch.is_set
    assert bench.port.stops.machine.activity.is_active, "nobody knows that the machine has stopped"


async def test_a_caller_who_leaves_while_there_is_no_device_leaves_the_port_latched(
    bench: Bench,
) -> None:
    opening = asyncio.Event()

    async def never(listener: object) -> None:
        opening.set()
        await asyncio.Event().wait()

    bench.device.open = never  # type: ignore[method-assign]
    stopping = asyncio.create_task(bench.stop())
    await opening.wait()
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    assert bench.port.line.latch.is_set


async def test_a_device_that_comes_and_goes_keeps_the_latch_and_the_stop_can_be_named(
    bench: Bench,
) -> None:
    await bench.port.line.ensure_open()
    epoch = await bench.stop()
    assert bench.device.listener is not None
    bench.device.listener.device_lost("unplugged")
    assert bench.port.line.latch.is_set
    assert bench.port.line.latch.epoch > epoch
    bench.port.stops.path.rearm("ann", epoch)
    assert not bench.port.line.latch.is_set


async def test_a_later_stop_is_not_undone_by_a_person_who_saw_an_earlier_one(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    seen = await bench.stop("ann")
    later = await bench.stop("bob", "smoke")
    with pytest.raises(PortLatchedError, match=rf"by bob at .* UTC \(smoke\).*epoch {later}; you"):
        bench.port.stops.path.rearm("ann", seen)
    assert bench.port.line.latch.is_set
    bench.port.stops.path.rearm("ann", later)
    assert not bench.port.line.latch.is_set


async def test_an_epoch_to_come_cannot_be_named(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    epoch = await bench.stop()
    with pytest.raises(InvalidArgumentError, match=f"epoch {epoch + 1} has not begun"):
        bench.port.stops.path.rearm("ann", epoch + 1)
    assert bench.port.line.latch.is_set


async def test_commands_of_an_epoch_to_come_are_void_too(bench: Bench) -> None:
    """As those of a client whose service had a later epoch than the one that serves it now."""
    client = Client("one", "ann", "ann", "127.0.0.1:1", Mode.CONTROL, only_failures=True)
    session = await bench.port.open_session(client)
    await session.command(Command(1, None, bench.port.line.latch.epoch + 1, 0, b"G1 X10\n"))
    (result,) = [e for e in session.outbox._events if isinstance(e, CommandResult)]
    assert result.outcome is CommandOutcome.FENCED
    assert bench.written == b""


async def test_a_re_arming_is_kept(bench: Bench) -> None:
    await bench.port.line.ensure_open()
    epoch = await bench.stop()
    bench.port.stops.path.rearm("ann", epoch)
    assert [is_latched for is_latched, _ in bench.kept][-2:] == [True, False]
