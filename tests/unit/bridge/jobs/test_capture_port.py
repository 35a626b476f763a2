from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from usbshare.analysis.capture import Capture, Ending
from usbshare.base.errors import DeviceError
from usbshare.bridge.jobs import capture_port
from usbshare.bridge.jobs.capture_port import capture_from
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import LineEvents, LineSettings, ModemLines

DEADLINE_S = 30.0


class Port:
    """A virtual port in memory, which takes as much as it has room for."""

    path = "COM7"

    def __init__(self) -> None:
        self.listener: VirtualPortListener | None = None
        self.received = bytearray()
        self.room = 1 << 20
        self.limit = -1
        self.changed = asyncio.Event()
        self.is_closed = False

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        self.listener = listener

    def write(self, data: bytes) -> int:
        taken = data[: self.room - len(self.received)]
        self.received += taken
        self.changed.set()
        return len(taken)

    def limit_reading(self, most_bytes: int) -> None:
        self.limit = most_bytes

    def apply_settings(self, settings: LineSettings) -> None: ...

    def far_end_is(self, host: str, port_id: str) -> None: ...

    def show_events(self, events: LineEvents) -> None: ...

    def show_lines(self, lines: ModemLines) -> None: ...

    def hang_up(self) -> None: ...

    async def close(self) -> None:
        self.is_closed = True

    async def shows(self, text: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while text not in self.received:
                self.changed.clear()
                await self.changed.wait()


class Running:
    """A capture under way."""

    def __init__(self) -> None:
        self.port = Port()
        self.file = io.BytesIO()
        self.capture = Capture(self.file)
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(
            capture_from(self.port, self.capture, lambda _: self.ready.set())
        )

    @property
    def listener(self) -> VirtualPortListener:
        assert self.port.listener is not None
        return self.port.listener

    async def ending(self) -> Ending:
        async with asyncio.timeout(DEADLINE_S):
            return await self.task


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    under_way = Running()
    async with asyncio.timeout(DEADLINE_S):
        await under_way.ready.wait()
    yield under_way
    under_way.task.cancel()
    await asyncio.gather(under_way.task, return_exceptions=True)
    assert under_way.port.is_closed


async def test_a_program_is_greeted_soon_after_it_came(running: Running) -> None:
    running.listener.program_opened()
    assert running.port.received == b""
    await running.port.shows(b"Grbl 1.1h")


async def test_a_program_that_throws_the_banner_away_gets_it_again(running: Running) -> None:
    running.listener.program_opened()
    await running.port.shows(b"Grbl 1.1h")
    running.port.received.clear()
    running.listener.program_flushed(received=True, written=False)
    await running.port.shows(b"Grbl 1.1h")


async def test_a_program_that_speaks_at_once_is_greeted_first(running: Running) -> None:
    running.listener.program_wrote(b"G0 X1\n")
    running.listener.program_opened()  # noticed late
    assert running.port.received.startswith(b"\r\nGrbl 1.1h")
    assert running.port.received.endswith(b"ok\r\n")
    assert running.file.getvalue() == b"G0 X1\n"


async def test_a_port_that_is_only_looked_at_ends_nothing(running: Running) -> None:
    running.listener.program_opened()
    running.listener.program_closed()
    running.listener.program_opened()
    running.listener.program_wrote(b"$$\n")
    running.listener.program_closed()
    assert not running.task.done()
    running.listener.program_wrote(b"G0 X1\n")
    running.listener.program_closed()
    assert await running.ending() is Ending.CLOSED


async def test_a_program_that_stays_after_its_end_does_not_keep_it_waiting(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_port, "LINGER_S", 0.05)
    running.listener.program_wrote(b"G0 X1\nM2\n")
    assert await running.ending() is Ending.PROGRAM_END


async def test_a_program_that_reads_nothing_may_not_write_on(running: Running) -> None:
    running.port.room = 10
    running.listener.program_wrote(b"$$\n")
    assert running.port.limit == 0
    running.port.room = 1 << 20
    running.listener.port_writable()
    assert running.port.limit > 0
    assert running.port.received.endswith(b"ok\r\n")


async def test_a_lost_port_is_an_error(running: Running) -> None:
    running.listener.port_lost("driver removed")
    with pytest.raises(DeviceError, match="driver removed"):
        await running.ending()
