"""A virtual port on Linux, a program that has it open, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.waiting import until
from usbshare.line.settings import LineSettings

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.pty import PtyPort


SETTINGS = LineSettings()


class Listener:
    def __init__(self) -> None:
        self.written = bytearray()
        self.events: list[str] = []
        self.settings: list[LineSettings] = []
        self.flushes: list[tuple[bool, bool]] = []
        self.lines: list[tuple[bool | None, bool | None]] = []
        self.room_calls = 0
        self.lost: list[str] = []
        self.renamed: list[str] = []

    def program_wrote(self, data: bytes) -> None:
        assert data
        self.written += data
        self.events.append("wrote")

    def program_opened(self) -> None:
        self.events.append("opened")

    def program_closed(self) -> None:
        self.events.append("closed")

    def program_configured(self, settings: LineSettings) -> None:
        self.settings.append(settings)

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        self.lines.append((dtr, rts))

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        raise AssertionError("this port carries no break")

    def program_flushed(self, *, received: bool, written: bool) -> None:
        self.flushes.append((received, written))

    def port_writable(self) -> None:
        self.room_calls += 1

    def port_renamed(self, said: str) -> None:
        self.renamed.append(said)

    def port_lost(self, reason: str) -> None:
        self.lost.append(reason)

    @property
    def is_open(self) -> bool:
        comings = [event for event in self.events if event != "wrote"]
        return bool(comings) and comings[-1] == "opened"


@contextlib.contextmanager
def program(port: PtyPort, flags: int = os.O_RDWR) -> Iterator[int]:
    descriptor = os.open(port.path, flags | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_taken(path: str | Path) -> bool:
    return os.path.lexists(path)


def read_some(descriptor: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(descriptor, 4096)
    return b""


async def read_until(descriptor: int, size: int) -> bytes:
    data = bytearray()

    def enough() -> bool:
        data.extend(read_some(descriptor))
        return len(data) >= size

    await until(enough)
    return bytes(data)


async def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, timeout=60, check=check
    )
