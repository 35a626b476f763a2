"""Devices on real ptys, and a listener that remembers what they say."""

from __future__ import annotations

import contextlib
import os
import termios
import threading
from collections.abc import AsyncIterator, Callable

from usbshare.line.posix.device import PosixDevice
from usbshare.line.settings import Device, LineSettings, ModemLines
from usbshare.line.threaded.device import ThreadedDevice

SETTINGS = LineSettings()


DEADLINE_S = 20.0


MAKERS: list[Callable[[str, LineSettings], Device]] = [PosixDevice, ThreadedDevice]


class Listener:
    def __init__(self) -> None:
        self.received = bytearray()
        self.writable_calls = 0
        self.lines: list[ModemLines] = []
        self.lost: list[str] = []

    def data_received(self, data: bytes) -> None:
        assert data
        self.received += data

    def writable(self) -> None:
        self.writable_calls += 1

    def lines_changed(self, lines: ModemLines) -> None:
        self.lines.append(lines)

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Far:
    """The far end of a line: the master of a pty."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        self._slave = slave
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        os.set_blocking(self.master, False)
        self.read = bytearray()

    def release_slave(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
        self._slave = -1

    def take(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            self.read += os.read(self.master, 65536)
        return bytes(self.read)

    def send(self, data: bytes) -> None:
        assert os.write(self.master, data) == len(data)

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.master = -1


@contextlib.asynccontextmanager
async def opened(device: Device, listener: Listener) -> AsyncIterator[Device]:
    await device.open(listener)
    try:
        yield device
    finally:
        await device.close()


def fill(device: Device) -> int:
    """Write until nothing more is taken; the far end does not read."""
    total = 0
    while taken := device.write(b"x" * 1000):
        total += taken
    return total


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("usbshare")]
