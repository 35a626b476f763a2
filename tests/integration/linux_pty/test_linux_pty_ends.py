"""A virtual port on Linux that is closed, hung up or used by one program alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import serial

from fakes.waiting import until
from usbshare.line.settings import LineSettings, Parity

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.linux_pty_hangup import LinuxPty
    from usbshare.bridge.local_ports.pty import PtyPort
from fakes.linux_port import SETTINGS, Listener, is_taken, program, read_until, run

T = TypeVar("T")


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual port")


async def test_every_byte_arrives_unchanged_both_ways(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    every = bytes(range(256))
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    with program(port) as descriptor:
        os.write(descriptor, every)
        await until(lambda: listener.written == every)
        assert port.write(every) == len(every)
        assert await read_until(descriptor, len(every)) == every
    await until(lambda: not listener.is_open)
    assert listener.events[0] == "opened"
    await port.close()


async def test_the_first_open_with_the_ports_settings_changes_nothing(
    port: LinuxPty, listener: Listener
) -> None:
    def use() -> None:
        with serial.Serial(port.path, SETTINGS.baud, timeout=10) as line:
            line.write(b"hello")

    await asyncio.to_thread(use)
    await until(lambda: listener.written == b"hello" and not listener.is_open)
    assert listener.settings == []


async def test_settings_that_a_pty_cannot_carry_are_returned_unchanged(
    listener: Listener, tmp_path: Path
) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    odd = LineSettings(data_bits=7, parity=Parity.EVEN)
    await port.start(listener, odd)
    await run("stty", "-F", port.path, "57600")
    await until(lambda: listener.settings)
    assert listener.settings[-1] == replace(odd, baud=57600)
    await port.close()


async def test_a_program_that_closes_at_once_is_still_read(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port, os.O_WRONLY) as descriptor:
        os.write(descriptor, b"M5\n")
    await until(lambda: listener.events == ["opened", "wrote", "closed"])
    assert listener.written == b"M5\n"


async def test_close_hangs_the_program_up_and_takes_the_link_away(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        await port.close()
        assert not is_taken(port.path)
        with contextlib.suppress(OSError):  # end of file or EIO, by what the system finds first
            assert os.read(descriptor, 10) == b""
        with pytest.raises(OSError, match="Input/output error"):
            os.write(descriptor, b"x")


def read_to_the_end(descriptor: int, data: bytearray) -> None:
    """Read as a program does that waits for the machine, until its port is gone."""
    os.set_blocking(descriptor, True)
    with contextlib.suppress(OSError):  # end of file or EIO, by what the system finds first
        while more := os.read(descriptor, 4096):
            data += more


async def test_a_hung_up_program_reads_the_end_and_cannot_write_on(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        data = bytearray()
        reading = asyncio.create_task(asyncio.to_thread(read_to_the_end, descriptor, data))
        port.write(b"ok\n")
        await until(lambda: data == b"ok\n")
        port.hang_up()
        assert listener.events[-1] == "closed"
        await asyncio.wait_for(reading, 30)
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output error"):
                os.write(descriptor, b"G1 X10\n")
    assert listener.written == b""
    await port.close()


async def test_after_a_hang_up_the_same_path_is_a_fresh_port(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    port.apply_settings(replace(SETTINGS, baud=57600))
    with program(port) as old:
        await until(lambda: listener.is_open)
        os.write(old, b"written and not read when the port was hung up\n")
        port.write(b"never read\n")
        port.hang_up()
        with program(port) as fresh:
            os.write(fresh, b"$$\n")
            await until(lambda: listener.written == b"$$\n" and listener.is_open)
            assert termios.tcgetattr(fresh)[5] == termios.B57600
            port.write(b"fresh\n")
            assert await read_until(fresh, 6) == b"fresh\n"
    await until(lambda: not listener.is_open)
    assert [e for e in listener.events if e != "wrote"] == ["opened", "closed"] * 2
    assert listener.settings == []
    await port.close()


async def test_the_path_never_vanishes_while_ports_are_hung_up(port: LinuxPty) -> None:
    ended = asyncio.Event()

    def watch() -> int:
        seen = 0
        while not ended.is_set():
            assert is_taken(port.path)
            seen += 1
        return seen

    watching = asyncio.create_task(asyncio.to_thread(watch))
    for _ in range(50):
        port.hang_up()
        await asyncio.sleep(0)
    ended.set()
    assert await watching


async def test_a_hang_up_without_a_program_reports_nothing(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    port.hang_up()
    assert listener.events == []
    with program(port) as descriptor:
        os.write(descriptor, b"x")
        await until(lambda: listener.written == b"x")
    await port.close()
    port.hang_up()
    assert listener.lost == []


async def test_bytes_held_by_a_paused_port_are_void_after_a_hang_up(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    with program(port) as old:
        await until(lambda: listener.is_open)
        port.limit_reading(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(old, b"old" * 100)
        port.hang_up()
    with program(port) as descriptor:
        os.write(descriptor, b"new")
        assert listener.written == b""
        port.limit_reading(4095)
        await until(lambda: listener.written == b"new")
    await port.close()


async def test_a_port_that_cannot_come_back_is_lost_and_hung_up_all_the_same(
    port: LinuxPty, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(errno.ENOSPC, "out of pty devices")

    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        monkeypatch.setattr(os, "openpty", none_left)
        port.hang_up()
        assert len(listener.lost) == 1
        assert "out of pty devices" in listener.lost[0]
        with pytest.raises(OSError, match="Input/output error"):
            os.write(descriptor, b"x")
    await until(lambda: not is_taken(port.path))


async def test_many_hang_ups_leave_no_descriptors(
    any_kind: type[PtyPort], listener: Listener, tmp_path: Path
) -> None:
    port = any_kind(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    port.hang_up()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with program(port):
            port.hang_up()
    assert len(os.listdir("/proc/self/fd")) == before
    await port.close()


async def test_exclusive_use_ends_with_the_program(port: LinuxPty, listener: Listener) -> None:
    with program(port) as descriptor:
        with program(port):
            fcntl.ioctl(descriptor, termios.TIOCEXCL)
        os.write(descriptor, b"still mine")
        await until(lambda: listener.written == b"still mine")
        assert is_exclusive(descriptor)
    await until(lambda: not listener.is_open)
    with program(port) as descriptor:  # EBUSY if it were not ended
        assert not is_exclusive(descriptor)


def use_as_qt_does(path: str, times: int, *, closes: bool = True) -> tuple[int, int]:
    """Open, write and close in a tight loop as QSerialPort does; return uses and refusals.

    qtserialport, qserialport_unix.cpp: open() sets TIOCEXCL right after open(2), then reads the
    settings and writes them raw; close() ends the exclusive use. A killed program does not.
    """
    uses = refusals = 0
    end = time.monotonic() + 60
    while uses < times and time.monotonic() < end:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            # The second and third: the name led to a pty that gave way to a fresh one just then.
            if error.errno not in (errno.EBUSY, errno.EIO, errno.ENOENT):
                raise
            refusals += 1
            time.sleep(0.001)  # a program waits longer
            continue
        try:
            fcntl.ioctl(descriptor, termios.TIOCEXCL)
            termios.tcsetattr(descriptor, termios.TCSANOW, termios.tcgetattr(descriptor))
            os.write(descriptor, b"?")
            uses += 1
            if closes:
                fcntl.ioctl(descriptor, termios.TIOCNXCL)
        except (OSError, termios.error) as error:
            # Hung up: the port was given up as stale just then. EAGAIN: somebody else is just
            # writing (Linux, tty_io.c, tty_write_lock).
            if error.args[0] not in (errno.EIO, errno.EAGAIN):
                raise
        finally:
            os.close(descriptor)
    return uses, refusals


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "is killed"])
async def test_a_program_that_opens_exclusively_never_ends_the_port(
    port: LinuxPty, listener: Listener, closes: bool
) -> None:
    for _ in range(50):
        uses, _ = await in_new_thread(lambda: use_as_qt_does(port.path, 10, closes=closes))
        assert uses == 10
    assert listener.lost == []
    await until(lambda: not listener.is_open)
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        listener.written.clear()
        os.write(descriptor, b"$$\n")
        await until(lambda: listener.written.endswith(b"$$\n"))
        port.write(b"fresh\n")
        assert await read_until(descriptor, 6) == b"fresh\n"


async def test_a_program_with_exclusive_access_is_reported_and_read_to_the_end(
    port: LinuxPty, listener: Listener
) -> None:
    for number in range(50):
        with program(port) as descriptor:
            fcntl.ioctl(descriptor, termios.TIOCEXCL)
            os.write(descriptor, b"line %d\n" % number)
            await until(lambda: listener.is_open)
            assert port.write(b"ok\n") == 3
            assert await read_until(descriptor, 3) == b"ok\n"
            fcntl.ioctl(descriptor, termios.TIOCNXCL)
        await until(lambda: not listener.is_open)
    assert listener.written == b"".join(b"line %d\n" % number for number in range(50))
    assert listener.lost == []


async def test_the_port_of_a_program_that_was_killed_is_free_at_once(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
        port.write(b"unread")
    await until(lambda: not listener.is_open)
    with program(port) as descriptor:
        await until(lambda: listener.is_open)
        port.write(b"fresh")
        assert await read_until(descriptor, 5) == b"fresh"


async def in_new_thread(work: Callable[[], T]) -> T:
    """Run in a thread of its own, which may do what this one may: a pool's may do more."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def run() -> None:
        try:
            value = work()
        except BaseException as error:
            result.get_loop().call_soon_threadsafe(result.set_exception, error)
        else:
            result.get_loop().call_soon_threadsafe(result.set_result, value)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return await result
    finally:
        thread.join()


def is_exclusive(descriptor: int) -> bool:
    return any(fcntl.ioctl(descriptor, 0x80045440, bytes(4)))


async def test_a_killed_bridges_link_is_replaced_though_its_pty_number_is_in_use_again(
    listener: Listener, tmp_path: Path
) -> None:
    killed = LinuxPty(str(tmp_path / "COM10"))
    await killed.start(listener, SETTINGS)
    slave = os.open(killed.path, os.O_RDWR | os.O_NOCTTY)  # keeps the number in use
    target = os.readlink(killed.path)
    await killed.close()
    os.symlink(target, killed.path)
    port = LinuxPty(killed.path)
    await port.start(listener, SETTINGS)
    assert os.readlink(port.path) != target
    await port.close()
    os.close(slave)


async def test_close_leaves_no_descriptors(any_kind: type[PtyPort], tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        port = any_kind(str(tmp_path / "COM10"))
        listener = Listener()
        await port.start(listener, SETTINGS)
        with program(port):
            await until(lambda: listener.is_open)  # noqa: B023
        await port.close()
        await port.close()
    assert set(os.listdir("/proc/self/fd")) == before
