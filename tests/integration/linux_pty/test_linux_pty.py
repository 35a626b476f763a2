"""The virtual port on Linux as programs see it: real opens, real settings, real links."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import serial

from fakes.waiting import until
from usbshare.line.settings import FlowControl

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.linux_pty_hangup import LinuxPty
    from usbshare.bridge.local_ports.pty import PtyPort
from fakes.linux_port import SETTINGS, Listener, program, read_until, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual port")


EXTPROC = 0o200000


@pytest.mark.parametrize("baud", [9600, 250_000, 1_000_000])
async def test_a_programs_baud_rate_is_seen(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path, baud: int
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    line = await asyncio.to_thread(serial.Serial, port.path, baud, timeout=10)
    await until(lambda: listener.settings)
    assert listener.settings[-1] == replace(SETTINGS, baud=baud)
    await asyncio.to_thread(line.close)
    await port.close()


async def test_stop_bits_and_flow_control_are_seen(port: LinuxPty, listener: Listener) -> None:
    def use() -> None:
        with serial.Serial(port.path, 115200, stopbits=2, xonxoff=True):
            pass

    await asyncio.to_thread(use)
    await until(lambda: listener.settings)
    assert listener.settings[-1].stop_bits == 2
    assert listener.settings[-1].flow_control is FlowControl.XON_XOFF


async def test_settings_from_the_host_are_shown_and_not_reported(
    port: LinuxPty, listener: Listener
) -> None:
    port.apply_settings(replace(SETTINGS, baud=19200))
    with program(port) as descriptor:
        assert termios.tcgetattr(descriptor)[5] == termios.B19200
        os.write(descriptor, b"x")
        await until(lambda: listener.written == b"x")
    assert listener.settings == []


async def test_baud_zero_drops_the_lines_and_the_next_rate_raises_them(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port) as descriptor:
        attributes = termios.tcgetattr(descriptor)
        for speed in (termios.B0, termios.B115200):
            attributes[4] = attributes[5] = speed
            termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
            up = speed != termios.B0
            await until(lambda: listener.lines and listener.lines[-1] == (up, up))  # noqa: B023
    assert listener.settings == []


async def test_stty_sane_neither_blinds_nor_echoes(port: LinuxPty, listener: Listener) -> None:
    with program(port) as descriptor:
        # It reads back what it set, and may find that we have taken some of it back already.
        await run("stty", "-F", port.path, "sane", check=False)
        await until(lambda: termios.tcgetattr(descriptor)[3] & EXTPROC)
        attributes = termios.tcgetattr(descriptor)
        assert not attributes[1] & termios.OPOST
        port.write(b"device says\n")
        os.write(descriptor, b"program says\n")
        await until(lambda: listener.written == b"program says\n")
        await run("stty", "-F", port.path, "4800")
        await until(lambda: listener.settings and listener.settings[-1].baud == 4800)


async def test_flushes_are_reported_and_our_own_are_not(port: LinuxPty, listener: Listener) -> None:
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        assert listener.flushes == []
        termios.tcflush(descriptor, termios.TCIFLUSH)
        await until(lambda: listener.flushes == [(True, False)])
        termios.tcflush(descriptor, termios.TCOFLUSH)
        await until(lambda: listener.flushes[-1] == (False, True))


async def test_programs_come_and_go_one_after_another(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    for number in range(5):
        text = f"program {number}\n".encode()
        with program(port) as descriptor:
            await until(lambda: listener.is_open)
            os.write(descriptor, text)
        await until(lambda: not listener.is_open)
        assert listener.written.endswith(text)
    comings = [event for event in listener.events if event != "wrote"]
    assert comings == ["opened", "closed"] * 5
    await port.close()


async def test_the_port_is_open_until_the_last_program_closes(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port) as first:
        with program(port, os.O_RDONLY), program(port):
            await until(lambda: listener.is_open)
        os.write(first, b"still here")
        await until(lambda: listener.written == b"still here")
        assert listener.events.count("closed") == 0
    await until(lambda: not listener.is_open)


async def test_the_state_is_right_after_many_quick_opens(
    port: LinuxPty, listener: Listener
) -> None:
    def storm() -> None:
        for _ in range(300):
            with program(port):
                pass

    await asyncio.gather(*(asyncio.to_thread(storm) for _ in range(3)))
    await until(lambda: listener.events and not listener.is_open)
    with program(port):
        await until(lambda: listener.is_open)
    await until(lambda: not listener.is_open)


async def test_the_next_program_sees_nothing_stale(port: LinuxPty, listener: Listener) -> None:
    with program(port):
        await until(lambda: listener.is_open)
        port.write(b"unread")
    await until(lambda: not listener.is_open)
    assert port.write(b"said to nobody") == len(b"said to nobody")
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        port.write(b"fresh")
        assert await read_until(descriptor, 5) == b"fresh"


async def test_a_program_that_does_not_read_holds_us_up_and_then_makes_room(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        written = 0
        while (taken := port.write(b"d" * 1000)) == 1000:
            written += taken
            assert written < 100_000
        written += taken
        assert listener.room_calls == 0
        assert len(await read_until(descriptor, written)) == written
        await until(lambda: listener.room_calls)


async def test_a_paused_port_holds_the_program_up_and_loses_nothing(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        port.limit_reading(0)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += os.write(descriptor, b"p" * 1000)
                assert written < 100_000
        assert listener.written == b""
        port.limit_reading(4095)
        await until(lambda: len(listener.written) == written)


async def test_bytes_held_by_a_paused_port_outlive_the_program(
    port: LinuxPty, listener: Listener
) -> None:
    port.limit_reading(0)
    with program(port) as descriptor:
        os.write(descriptor, b"tail")
        await until(lambda: listener.is_open)
    await until(lambda: not listener.is_open)
    assert listener.written == b""
    port.limit_reading(4095)
    await until(lambda: listener.written == b"tail")
