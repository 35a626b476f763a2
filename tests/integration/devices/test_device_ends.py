"""How every Device opens, is busy, closes and is lost: nothing is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.real_devices import DEADLINE_S, SETTINGS, Far, Listener, fill, opened, own_threads
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.line.posix import open_port
from usbshare.line.posix.device import PosixDevice
from usbshare.line.read_pace import REST_S, ReadPace
from usbshare.line.settings import Device, LineSettings
from usbshare.line.threaded.device import ThreadedDevice

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs ptys")


async def test_a_device_that_is_closed_while_it_rests_reads_again_when_it_is_opened(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadPace, "rest_s", lambda *_: REST_S)
    listener = Listener()
    device = PosixDevice(far.path, SETTINGS)
    for count in (1, 2):
        async with opened(device, listener):
            far.send(b"x")
            await until(lambda: len(listener.received) == count)  # noqa: B023


async def test_a_hang_up_is_reported_once_and_closes(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    device = make(far.path, SETTINGS)
    await device.open(listener)
    far.release_slave()
    far.hang_up()
    await until(lambda: listener.lost)
    with pytest.raises(DeviceError):
        device.write(b"x")
    await device.close()
    assert len(listener.lost) == 1
    assert far.path in listener.lost[0]


async def test_a_device_opens_again_after_close(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    device = make(far.path, SETTINGS)
    for text in (b"first", b"second"):
        listener = Listener()
        async with opened(device, listener):
            far.send(text)
            await until(lambda: bytes(listener.received) == text)  # noqa: B023


async def test_close_reports_nothing(make: Callable[[str, LineSettings], Device], far: Far) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener):
        pass
    assert listener.lost == []


async def test_a_device_that_is_not_there_is_named(
    make: Callable[[str, LineSettings], Device], tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="is not there"):
        await make(str(tmp_path / "ttyUSB7"), SETTINGS).open(Listener())


_HOLDS = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_held_device_is_busy(make: Callable[[str, LineSettings], Device], far: Far) -> None:
    command = [sys.executable, "-c", _HOLDS, far.path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:  # noqa: ASYNC220 - at once
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        far.release_slave()
        with pytest.raises(DeviceError, match="held by another program"):
            await make(far.path, SETTINGS).open(Listener())
        holder.communicate()


async def test_a_device_that_we_hold_ourselves_is_not_blamed_on_others(far: Far) -> None:
    async with opened(PosixDevice(far.path, SETTINGS), Listener()):
        with pytest.raises(DeviceError, match="this service already has"):
            await PosixDevice(far.path, SETTINGS).open(Listener())


async def test_a_close_that_waits_for_output_blocks_no_caller(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tty_port_close_start (drivers/tty/tty_port.c) waits 30 s for a device that takes nothing.
    has_left, real_close = threading.Event(), os.close

    def close_late(descriptor: int) -> None:
        if threading.current_thread() is threading.main_thread():
            raise AssertionError("closed on the event loop")
        assert has_left.wait(DEADLINE_S)
        real_close(descriptor)

    device = PosixDevice(far.path, SETTINGS)
    await device.open(Listener())
    monkeypatch.setattr(os, "close", close_late)
    closing = asyncio.create_task(device.close())
    await asyncio.sleep(0)
    with pytest.raises(DeviceError, match="is not open"):
        device.write(b"x")
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    again = asyncio.create_task(device.close())
    await asyncio.sleep(0.05)
    assert not again.done()
    has_left.set()
    await again
    monkeypatch.undo()
    async with opened(PosixDevice(far.path, SETTINGS), Listener()):
        pass


def test_bytes_left_in_a_driver_get_a_moment_and_are_then_discarded(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_ioctl = fcntl.ioctl

    def ioctl(descriptor: int, request: int, *rest: Any) -> Any:
        if request == termios.TIOCOUTQ:
            calls.append("asked")
            return (4096).to_bytes(4, sys.byteorder)  # cdc_acm with a device that takes nothing
        return real_ioctl(descriptor, request, *rest)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(open_port, "LEAVE_S", 0.05)
    monkeypatch.setattr(termios, "tcflush", lambda _, queue: calls.append(str(queue)))
    open_port.close_line(os.open(far.path, os.O_RDWR | os.O_NOCTTY), is_pty=False)
    assert calls[0] == "asked"
    assert calls[-1] == str(termios.TCOFLUSH)


async def test_a_denied_device_names_group_and_remedy(
    monkeypatch: pytest.MonkeyPatch, far: Far
) -> None:
    real_open = os.open

    def denied(path: str, *rest: int) -> int:
        if path == far.path:
            raise PermissionError(13, "Permission denied")
        return real_open(path, *rest)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(DeviceError, match=r"sudo usermod -aG \w+ "):
        await PosixDevice(far.path, SETTINGS).open(Listener())


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


async def test_close_leaves_neither_descriptors_nor_threads(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    await asyncio.to_thread(int)
    before = descriptors()
    for _ in range(3):
        listener = Listener()
        async with opened(make(far.path, SETTINGS), listener) as device:
            fill(device)
    await until(lambda: not own_threads())
    assert descriptors() == before


async def test_a_lost_device_leaves_neither_descriptors_nor_threads(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    await asyncio.to_thread(int)
    before = descriptors()
    listener = Listener()
    device = make(far.path, SETTINGS)
    await device.open(listener)
    os.close(far.master)
    far.release_slave()
    await until(lambda: listener.lost and not own_threads())
    held, far.master = far.master, -1
    assert descriptors() <= before - {str(held)} | {str(held)}


async def test_a_cancelled_open_leaves_nothing(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    await asyncio.to_thread(int)
    before = descriptors()
    opening = asyncio.create_task(make(far.path, SETTINGS).open(Listener()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: not own_threads() and descriptors() == before)


async def test_the_hang_up_at_a_write_is_raised_and_reported(far: Far) -> None:
    listener = Listener()
    device = PosixDevice(far.path, SETTINGS)
    await device.open(listener)
    device.pause_reading()
    far.release_slave()
    far.hang_up()
    with pytest.raises(DeviceError):
        device.write(b"x")
    await until(lambda: listener.lost)
    await device.close()
    assert len(listener.lost) == 1


async def test_no_answer_at_a_url_is_a_device_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DeviceError, match="cannot be opened"):
        await ThreadedDevice(url, SETTINGS).open(Listener())
