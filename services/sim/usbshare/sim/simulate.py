"""A simulated controller on a pseudo-terminal, for any program that opens a serial port (POSIX)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from usbshare.base.errors import ConfigError
from usbshare.base.event_loop import on_stop_signals
from usbshare.line.name_link import NameLink, remove_stale_links
from usbshare.line.settings import LineSettings
from usbshare.sim.controller import Controller
from usbshare.sim.firmware import FIRMWARES, make_controller
from usbshare.sim.record import Record
from usbshare.sim.ticker import Ticker
from usbshare.sim.uart import DRIVER_BUFFER_BYTES, Uart

_WORTH_READING_BYTES = DRIVER_BUFFER_BYTES // 16
_FLUSHED_OUTPUT = 0x02  # TIOCPKT_FLUSHWRITE: the program called tcflush(TCOFLUSH)
_SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[0] == "B" and name[1:].isdigit() and name != "B0"
}


async def simulate_on_pty(
    firmware: str,
    link_path: Path,
    *,
    record_path: Path | None = None,
    ready: Callable[[str], None],
) -> None:
    """Simulate a firmware on a new pty until stopped; `ready` gets one line. Raises ConfigError."""
    if firmware not in FIRMWARES:
        raise ConfigError(f"firmware '{firmware}' is unknown; choose {' or '.join(FIRMWARES)}")
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    remove_stale_links()
    controller = make_controller(firmware, Record(record_path))
    async with SimulatedPty(controller, link_path) as pty:
        ready(f"simulated {firmware} ready on {pty.path}")
        await stopped.wait()


class SimulatedPty:
    """A controller behind a pty; `path` is the link to it, or the pty itself without a link.

    It reads at most a driver's buffer of 4096 bytes ahead of the line, so that the system blocks a
    program that writes too fast, as at a real port.
    """

    def __init__(self, controller: Controller, link_path: Path | None = None) -> None:
        self.controller = controller
        self._link = NameLink(os.path.abspath(link_path)) if link_path else None
        self._uart = Uart(controller, LineSettings())
        self._ticker = Ticker(self._work)
        self._master = self._slave = -1
        self._pty_path = ""
        self._reading = False

    @property
    def path(self) -> str:
        """The path that a program opens."""
        return self._pty_path if self._link is None else str(self._link.path)

    async def __aenter__(self) -> Self:
        """Create pty and link; raises ConfigError when the link or the record cannot be made."""
        self._open_pty()
        try:
            self._make_link()
            self._open_record()
        except BaseException:
            self._close()
            raise
        self._read_on()
        self._ticker.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the link and close the pty; programs see a hang-up."""
        self._close()

    def _open_pty(self) -> None:
        self._master, self._slave = os.openpty()
        self._pty_path = os.ttyname(self._slave)
        tty.setraw(self._slave)
        attributes = termios.tcgetattr(self._slave)
        attributes[4] = attributes[5] = termios.B115200
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))

    def _make_link(self) -> None:
        if self._link is not None:
            self._link.claim()
            self._link.show(self._pty_path)

    def _open_record(self) -> None:
        try:
            self.controller.record.open()
        except OSError as error:
            raise ConfigError(f"cannot record the simulation: {error}") from error

    def _close(self) -> None:
        self._ticker.stop()
        self._read_no_more()
        if self._link is not None:
            self._link.remove()
        self.controller.record.close()
        os.close(self._master)
        os.close(self._slave)

    def _read_on(self) -> None:
        if not self._reading:
            asyncio.get_running_loop().add_reader(self._master, self._readable)
            self._reading = True

    def _read_no_more(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._master)
            self._reading = False

    def _readable(self) -> None:
        now_s = self._ticker.now_s()
        self._uart.run(now_s)
        if not self._uart.room:
            self._read_no_more()
            return
        try:
            packet = os.read(self._master, self._uart.room + 1)
        except BlockingIOError:
            return
        self._take(packet, now_s)
        self._ticker.arm(self._due_s())

    def _take(self, packet: bytes, now_s: float) -> None:
        if packet[0] & _FLUSHED_OUTPUT:
            self._uart.discard(now_s)
        elif packet[0] == 0 and len(packet) > 1:
            self._follow_speed(now_s)
            self._uart.write(packet[1:], now_s)

    def _follow_speed(self, now_s: float) -> None:
        baud = _SPEEDS.get(termios.tcgetattr(self._master)[5], self._uart.settings.baud)
        if baud != self._uart.settings.baud:
            self._uart.configure(LineSettings(baud=baud), now_s)

    def _work(self, now_s: float) -> float | None:
        self._send(self._uart.read(now_s))
        if self._uart.room >= _WORTH_READING_BYTES:
            self._read_on()
        return self._due_s()

    def _send(self, data: bytes) -> None:
        # Unread bytes are lost when the terminal's queue is full, as at a real port.
        if data:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def _due_s(self) -> float | None:
        times = [self._uart.next_event_s(), self._uart.next_reply_s()]
        return min((time for time in times if time is not None), default=None)
