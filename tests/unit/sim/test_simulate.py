from __future__ import annotations

import asyncio
import os
import select
import sys
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("ptys are POSIX", allow_module_level=True)

import serial

from usbshare.base.errors import ConfigError
from usbshare.sim.grbl import GrblController
from usbshare.sim.record import Record
from usbshare.sim.simulate import SimulatedPty, simulate_on_pty

DEADLINE_S = 20.0


def talk(path: str, data: bytes, expected: bytes, baud: int = 115200) -> bytes:
    """Open the port as any program does, send and read until `expected` came."""
    with serial.Serial(path, baud, timeout=0.1, write_timeout=DEADLINE_S) as port:
        port.write(data)
        received, end = b"", time.monotonic() + DEADLINE_S
        while expected not in received and time.monotonic() < end:
            received += port.read(256)
    return received


def write_until_full(path: str, limit: int) -> int:
    """Write without waiting and return how much the system took."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        written = 0
        while written < limit and select.select([], [descriptor], [], 0)[1]:
            written += os.write(descriptor, b";" * 1024)
        return written
    finally:
        os.close(descriptor)


async def test_any_program_can_talk_to_it() -> None:
    async with SimulatedPty(GrblController()) as pty:
        answer = await asyncio.to_thread(talk, pty.path, b"$G\n", b"ok\r\n")
    assert b"[GC:G0 G54" in answer
    assert pty.controller.record.received == b"$G\n"


async def test_programs_come_and_go_without_a_hang_up() -> None:
    async with SimulatedPty(GrblController()) as pty:
        await asyncio.to_thread(talk, pty.path, b"G91\n", b"ok\r\n")
        answer = await asyncio.to_thread(talk, pty.path, b"$G\n", b"ok\r\n")
    assert b"G91" in answer


async def test_the_link_is_there_only_while_it_runs(tmp_path: Path) -> None:
    link = tmp_path / "ttyGRBL"
    async with SimulatedPty(GrblController(), link) as pty:
        assert pty.path == str(link)
        assert b"<Idle" in await asyncio.to_thread(talk, pty.path, b"?", b">")
    assert not link.is_symlink()


async def test_a_link_left_by_an_earlier_simulator_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "ttyGRBL"
    link.symlink_to("/dev/pts/gone")
    async with SimulatedPty(GrblController(), link):
        assert link.exists()


async def test_anything_else_at_the_path_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="precious"):
        async with SimulatedPty(GrblController(), path):
            pass
    assert path.read_text() == "mine"


async def test_a_link_to_something_else_is_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="link"):
        async with SimulatedPty(GrblController(), link):
            pass
    assert link.is_symlink()


async def test_a_writer_faster_than_the_line_is_held_up() -> None:
    async with SimulatedPty(GrblController()) as pty:
        written = await asyncio.to_thread(write_until_full, pty.path, 1_000_000)
    assert written < 1_000_000


async def test_the_baud_of_the_program_is_the_speed_of_the_line() -> None:
    async with SimulatedPty(GrblController()) as pty:
        start_s = time.monotonic()
        await asyncio.to_thread(talk, pty.path, b";" * 95 + b"\n", b"ok\r\n", 1200)
        assert time.monotonic() - start_s > 96 * 10 / 1200


async def test_the_runner_says_when_it_is_ready_and_cleans_up(tmp_path: Path) -> None:
    link, record = tmp_path / "tty", tmp_path / "r.jsonl"
    ready: asyncio.Queue[str] = asyncio.Queue()
    runner = asyncio.create_task(
        simulate_on_pty("marlin", link, record_path=record, ready=ready.put_nowait)
    )
    line = await asyncio.wait_for(ready.get(), DEADLINE_S)
    assert str(link) in line
    assert b"FIRMWARE_NAME" in await asyncio.to_thread(talk, str(link), b"M115\n", b"ok")
    runner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await runner
    assert not link.is_symlink()
    assert '"rx"' in record.read_text()


async def test_an_unknown_firmware_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="grbl or marlin"):
        await simulate_on_pty("ruida", tmp_path / "tty", ready=print)


async def test_a_record_that_cannot_be_written_leaves_no_link(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    with pytest.raises(ConfigError, match="record"):
        async with SimulatedPty(GrblController(Record(tmp_path / "no" / "r.jsonl")), link):
            pass
    assert not link.is_symlink()
