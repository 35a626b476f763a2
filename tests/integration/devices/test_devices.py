"""What every Device keeps, on real ptys: the test holds the master."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

import pytest

from fakes.real_devices import SETTINGS, Far, Listener, fill, opened
from fakes.waiting import until
from usbshare.line.posix.device import PosixDevice
from usbshare.line.posix.linux_tty import LinuxTty
from usbshare.line.read_pace import REST_S, ReadPace
from usbshare.line.settings import Completion, Device, LineSettings
from usbshare.line.threaded.device import ThreadedDevice

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs ptys")


async def write_all(device: Device, listener: Listener, data: bytes) -> None:
    while data:
        calls = listener.writable_calls
        data = data[device.write(data) :]
        if data:
            await until(lambda: listener.writable_calls > calls)  # noqa: B023


async def test_a_stream_is_read_now_and_then_and_arrives_whole(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadPace, "rest_s", lambda *_: REST_S)
    listener = Listener()
    async with opened(PosixDevice(far.path, SETTINGS), listener) as device:
        for piece in range(20):
            far.send(bytes([piece]) * 64)
            if piece == 10:
                device.pause_reading()
            if piece == 15:
                device.resume_reading()
            await asyncio.sleep(0)
        await until(lambda: len(listener.received) == 20 * 64)
    assert bytes(listener.received) == b"".join(bytes([piece]) * 64 for piece in range(20))


async def test_every_byte_arrives_unchanged_both_ways(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    every = bytes(range(256)) * 8
    async with opened(make(far.path, SETTINGS), listener) as device:
        await write_all(device, listener, every)
        far.send(every)
        await until(lambda: len(far.take()) >= len(every) and len(listener.received) >= len(every))
    assert far.read == every
    assert listener.received == every


async def test_a_short_write_is_followed_by_writable(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener) as device:
        sent = 0
        while sent < 60_000 and (taken := device.write(b"y" * 1000)) == 1000:
            sent += taken
        assert listener.writable_calls == 0
        await until(lambda: (far.take(), listener.writable_calls)[1])
        assert device.write(b"z") == 1


async def test_discarded_bytes_are_not_sent_and_later_ones_are(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener) as device:
        total = fill(device)
        device.discard_output()
        assert device.write(b"!") == 1
        await until(lambda: far.take().endswith(b"!"))
        # What the kernel had already handed to the master's side cannot be taken back on a pty.
        assert far.read.count(b"x") < total
        assert far.read.index(b"!") == len(far.read) - 1


async def test_nothing_is_delivered_while_paused_and_all_of_it_afterwards(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener) as device:
        far.send(b"before")
        await until(lambda: listener.received == b"before")
        device.pause_reading()
        sent = fill_master(far)
        await until(lambda: fill_master(far) == 0)
        assert listener.received == b"before"
        device.resume_reading()
        await until(lambda: len(listener.received) >= len(b"before") + sent)


def fill_master(far: Far) -> int:
    total = 0
    with contextlib.suppress(BlockingIOError):
        while taken := os.write(far.master, b"p" * 500):
            total += taken
    return total


async def test_discarded_input_is_not_delivered(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener) as device:
        device.pause_reading()
        far.send(b"stale")
        await until(lambda: is_held_or_waiting(device, far))
        device.discard_input()
        device.resume_reading()
        await until(lambda: send_and_see(far, listener))
    assert b"stale" not in listener.received


def is_held_or_waiting(device: Device, far: Far) -> bool:
    return isinstance(device, PosixDevice) or (
        isinstance(device, ThreadedDevice) and bool(device._held)
    )


def send_and_see(far: Far, listener: Listener) -> bool:
    far.send(b"n")
    return bool(listener.received)


async def test_drain_does_not_claim_more_than_a_pty_reports(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    listener = Listener()
    async with opened(make(far.path, SETTINGS), listener) as device:
        device.write(b"tail")
        assert await device.drain(10) in {Completion.OK, Completion.ASSUMED_SUCCESS}
        await until(lambda: far.take() == b"tail")


async def test_a_driver_that_counts_whole_buffers_is_believed_up_to_what_it_was_given(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [10240]

    def ioctl(descriptor: int, request: int, *argument: Any) -> Any:
        if request == termios.TIOCOUTQ:
            return struct.pack("i", answers[-1])
        return real_ioctl(descriptor, request, *argument)

    real_ioctl = fcntl.ioctl
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(LinuxTty, "is_pty", lambda *_: False)
    device = PosixDevice(far.path, SETTINGS)
    await device.open(Listener())
    assert device.write(b"?") == 1
    assert device.unsent_bytes() == 1
    assert await device.drain(0.0) is Completion.TIMEOUT
    answers.append(0)
    assert await device.drain(0.0) is Completion.OK
    await device.close()
