"""A machine that is watched is asked where that disturbs nobody, and not too often."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fakes.clock import FakeClock
from fakes.device import FakeDevice
from usbshare.line.profiles import BY_NAME
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.machine_watch import ANSWER_S, ASK_S, MOST_UNANSWERED, SELDOM_S
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Mode
from usbshare.serial_svc.sessions.session import Session

FAST = LineSettings(baud=12_000_000)
IDLE = b"<Idle|MPos:1.000,2.000,0.000|Bf:15,128|FS:0,0|WCO:1.000,1.000,0.000>\r\n"


class Bench:
    """A port on a fake device that somebody watches."""

    def __init__(self, profile: str = "grbl") -> None:
        self.clock = FakeClock()
        self.device = FakeDevice(FAST)
        config = PortConfig("laser", "fake", "", settings=FAST, profile=BY_NAME.get(profile))
        self.port = SerialPort(config, lambda _: self.device, self.clock, lambda: None)

    async def open(self, mode: Mode = Mode.CONTROL) -> Session:
        client = Client("one", "usbshare://site/one", "one", "127.0.0.1:1", mode)
        return await self.port.open_session(client)

    @property
    def asked(self) -> int:
        return bytes(self.device.written).count(b"?")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.port.line.ensure_open()
    yield made
    await made.port.close()


async def test_many_watchers_ask_once_per_second(bench: Bench) -> None:
    for second in range(1, 4):
        for _ in range(30):
            assert bench.port.machine.ask()
        assert bench.asked == second
        bench.port.line.data_received(IDLE)
        bench.clock.advance(ANSWER_S)
        assert not bench.port.machine.ask()
        bench.clock.advance(ASK_S - ANSWER_S)


async def test_a_fresh_report_is_not_asked_for_again(bench: Bench) -> None:
    bench.port.line.data_received(IDLE)
    bench.clock.advance(ASK_S / 2)
    assert not bench.port.machine.ask()
    view = bench.port.machine.view()
    assert view.report is not None
    assert (view.report.work_position, view.age_s) == ((0.0, 1.0, 0.0), ASK_S / 2)


async def test_a_device_that_does_not_answer_is_asked_seldom(bench: Bench) -> None:
    for _ in range(60):
        bench.port.machine.ask()
        bench.clock.advance(1.0)
    assert bench.asked <= MOST_UNANSWERED + 2 + 60 / SELDOM_S
    bench.port.line.data_received(IDLE)
    bench.clock.advance(SELDOM_S)
    before = bench.asked
    for _ in range(3):
        bench.port.machine.ask()
        bench.port.line.data_received(IDLE)
        bench.clock.advance(1.0)
    assert bench.asked == before + 3


async def test_a_session_in_control_is_never_asked_over(bench: Bench) -> None:
    session = await bench.open()
    bench.clock.advance(60.0)
    assert not bench.port.machine.ask()
    assert bench.asked == 0
    await session.close()
    assert bench.port.machine.ask()
    assert bench.asked == 1


async def test_an_observer_prevents_no_question(bench: Bench) -> None:
    await bench.open(Mode.OBSERVE)
    assert bench.port.machine.ask()
    assert bench.asked == 1


async def test_a_question_makes_no_machine_work(bench: Bench) -> None:
    bench.port.machine.ask()
    assert not bench.port.stops.machine.is_at_work


@pytest.mark.parametrize("profile", ["raw", "auto", "marlin", "reprap", "gcode"])
async def test_only_firmware_that_has_the_byte_is_asked(profile: str) -> None:
    bench = Bench(profile)
    await bench.port.line.ensure_open()
    assert not bench.port.machine.ask()
    assert bytes(bench.device.written) == b""
    await bench.port.close()


async def test_no_device_is_opened_to_be_asked() -> None:
    bench = Bench()
    assert not bench.port.machine.ask()
    assert not bench.port.line.is_open
    assert bench.port.machine.view().report is None
    await bench.port.close()


async def test_a_machine_that_went_says_nothing_any_more(bench: Bench) -> None:
    bench.port.line.data_received(IDLE)
    bench.port.line.device_lost("unplugged")
    assert bench.port.machine.view().report is None
