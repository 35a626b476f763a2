"""A virtual port on the network, and a program that is connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import serial
import serial.rfc2217

from fakes.waiting import until
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.telnet import escape
from usbshare.line.settings import LineSettings

SETTINGS = LineSettings()
FREE = LoopbackAddress("127.0.0.1", 0)
LARGE = bytes(range(256)) * 4096
SET_CONTROL = 5

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Listener:
    """Remembers what it is told; `port` is limited after each write when `room` says how."""

    def __init__(self) -> None:
        self.port: TcpPort
        self.written: list[bytes] = []
        self.events: list[str] = []
        self.settings: list[LineSettings] = []
        self.flushes: list[tuple[bool, bool]] = []
        self.lines: list[tuple[bool | None, bool | None]] = []
        self.room: list[int] = []
        self.breaks: list[bool] = []
        self.carries_breaks = True
        self.room_calls = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.written)

    def program_wrote(self, data: bytes) -> None:
        assert data
        self.written.append(data)
        self.events.append("wrote")
        if self.room:
            self.port.limit_reading(self.room.pop(0))

    def program_opened(self) -> None:
        self.events.append("opened")

    def program_closed(self) -> None:
        self.events.append("closed")

    def program_configured(self, settings: LineSettings) -> None:
        self.settings.append(settings)
        self.events.append("configured")

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        self.lines.append((dtr, rts))

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        self.breaks.append(on)
        answered(self.carries_breaks)

    def program_flushed(self, *, received: bool, written: bool) -> None:
        self.flushes.append((received, written))

    def port_writable(self) -> None:
        self.room_calls += 1

    def port_renamed(self, said: str) -> None:
        raise AssertionError(said)

    def port_lost(self, reason: str) -> None:
        raise AssertionError(reason)


def address(port: TcpPort) -> tuple[str, int]:
    host, _, number = port.path.partition("://")[2].rpartition(":")
    return host, int(number)


async def connect(port: TcpPort) -> Pair:
    return await asyncio.open_connection(*address(port))


async def program(port: TcpPort, listener: Listener) -> Pair:
    """Connect and wait until the port knows."""
    before = listener.events.count("opened")
    pair = await connect(port)
    await until(lambda: listener.events.count("opened") > before)
    return pair


async def hang_up(pair: Pair) -> None:
    pair[1].close()
    await pair[1].wait_closed()


def subnegotiation(code: int, value: bytes) -> bytes:
    return b"\xff\xfa\x2c" + bytes([code]) + escape(value) + b"\xff\xf0"


async def opened(port: Rfc2217Port, **settings: Any) -> serial.rfc2217.Serial:
    client = await asyncio.to_thread(serial.serial_for_url, port.path, timeout=30, **settings)
    return cast(serial.rfc2217.Serial, client)


def pieces(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Split data at the sizes, again and again."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(found) % len(sizes)]
        found.append(data[at : at + size])
        at += size
    return found
