"""A device with a memory, that accepts as much as a test says and no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

from usbshare.base.errors import DeviceError, NotSupportedError
from usbshare.line.settings import (
    Completion,
    DeviceListener,
    Done,
    LineSettings,
    ModemLines,
)


class FakeDevice:
    """Keeps all that is written; `capacity` bytes fit before it blocks."""

    name = "fake"
    holds_back = True
    has_line_rate = True
    paces_itself = False
    low_latency: bool | None = None

    def __init__(self, settings: LineSettings | None = None) -> None:
        self._settings = settings or LineSettings()
        self.listener: DeviceListener | None = None
        self.written = bytearray()
        self.writes: list[bytes] = []
        self.discarded_outputs = 0
        self.discarded_inputs = 0
        self.capacity = 1 << 30
        self.unsent = 0
        self.broken: str | None = None
        self.fails_to_open: str | None = None
        self.vanishes_while_opened: str | None = None
        self.is_open = False
        self.emptying: asyncio.Future[None] | None = None
        self.line_log: list[tuple[str, bool]] = []
        self.has_modem_lines = True
        self.watches_lines = True
        self.drains = Completion.OK

    @property
    def settings(self) -> LineSettings:
        return self._settings

    async def open(self, listener: DeviceListener) -> None:
        if self.fails_to_open:
            raise DeviceError(self.fails_to_open)
        self.listener = listener
        self.is_open = True
        if self.vanishes_while_opened:
            self.is_open = False
            listener.device_lost(self.vanishes_while_opened)

    def write(self, data: bytes) -> int:
        if self.broken:
            raise DeviceError(self.broken)
        taken = data[: self.capacity]
        self.capacity -= len(taken)
        self.written += taken
        if taken:
            self.writes.append(taken)
        return len(taken)

    def make_room(self, size: int) -> None:
        """Take that many more bytes, and say so."""
        self.capacity += size
        assert self.listener is not None
        self.listener.writable()

    def say(self, data: bytes) -> None:
        """Send bytes as the device."""
        assert self.listener is not None
        self.listener.data_received(data)

    def vanish(self, reason: str = "unplugged") -> None:
        """Go away as a pulled cable does."""
        assert self.listener is not None
        self.is_open = False
        self.listener.device_lost(reason)

    def unsent_bytes(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.line_log.append(("paused", True))

    def resume_reading(self) -> None:
        self.line_log.append(("paused", False))

    def discard_output(self) -> None:
        self.discarded_outputs += 1
        self.unsent = 0

    def discard_input(self) -> asyncio.Future[None] | None:
        self.discarded_inputs += 1
        return self.emptying

    async def configure(self, settings: LineSettings) -> LineSettings:
        self._settings = replace(settings)
        return self._settings

    async def drain(self, timeout_s: float) -> Completion:
        return self.drains

    def lines(self) -> ModemLines:
        return ModemLines(cts=True) if self.has_modem_lines else ModemLines()

    def watch_lines(self, *, on: bool) -> None:
        self.watches_lines = on

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Done:
        if not self.has_modem_lines:
            raise NotSupportedError("the fake has no modem lines")
        for name, value in (("dtr", dtr), ("rts", rts)):
            if value is not None:
                self.line_log.append((name, value))
        return Done()

    def set_break(self, *, on: bool) -> Done:
        self.line_log.append(("break", on))
        return Done()

    async def close(self) -> None:
        self.is_open = False


class ReportingDevice(FakeDevice):
    """Says its state when it is asked, as GRBL does, and ignores a resume while it cannot.

    With `brakes` it comes to rest when the test says so (`rest`); see gnea/grbl, protocol.c.
    """

    _RESTS: ClassVar = {b"Hold:1": b"Hold:0", b"Door:2": b"Door:0"}

    def __init__(self, settings: LineSettings | None = None) -> None:
        super().__init__(settings)
        self.state = b"Idle"
        self.pins = b""
        self.brakes = False

    def write(self, data: bytes) -> int:
        taken = super().write(data)
        for byte in data[:taken]:
            self._take(byte)
        return taken

    def rest(self) -> None:
        """Come to rest."""
        self.state = self._RESTS.get(self.state, self.state)

    def _take(self, byte: int) -> None:
        match byte:
            case 0x84:
                self.state = b"Door:2"
            case 0x21 if not self.state.startswith((b"Door", b"Hold", b"Home")):
                self.state = b"Hold:1"
            case 0x7E if self.state in self._RESTS.values():
                self.state = b"Run"
            case 0x18:
                self.state = b"Idle"
            case 0x3F:
                report = b"<%b|MPos:0.000,0.000,0.000|FS:0,0%b>\r\n" % (self.state, self.pins)
                asyncio.get_running_loop().call_soon(self._answer, report)
        if not self.brakes:
            self.rest()

    def _answer(self, report: bytes) -> None:
        if self.is_open:
            self.say(report)
