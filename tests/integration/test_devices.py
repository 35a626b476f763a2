"""What every Device keeps, on real ptys: the test holds the master."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import serial

from fakes.waiting import until
from usbshare.base.errors import DeviceError, InvalidArgumentError, NotSupportedError
from usbshare.line.modem_inputs import POLL_S
from usbshare.line.posix import control as posix_control
from usbshare.line.posix import device as posix_device
from usbshare.line.posix import open_port
from usbshare.line.posix.device import PosixDevice
from usbshare.line.posix.linux_tty import LinuxTty
from usbshare.line.posix.tty_control import system_tty
from usbshare.line.read_pace import REST_S, ReadPace
from usbshare.line.settings import (
    Completion,
    Device,
    FlowControl,
    LineSettings,
    ModemLines,
    Parity,
)
from usbshare.line.threaded import device as threaded_device
from usbshare.line.threaded.device import ThreadedDevice
from usbshare.line.threaded.serial_url import set_port_break

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs ptys")

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


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.release_slave()
    far.hang_up()


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[str, LineSettings], Device]:
    maker: Callable[[str, LineSettings], Device] = request.param
    return maker


@contextlib.asynccontextmanager
async def opened(device: Device, listener: Listener) -> AsyncIterator[Device]:
    await device.open(listener)
    try:
        yield device
    finally:
        await device.close()


async def write_all(device: Device, listener: Listener, data: bytes) -> None:
    while data:
        calls = listener.writable_calls
        data = data[device.write(data) :]
        if data:
            await until(lambda: listener.writable_calls > calls)  # noqa: B023


def fill(device: Device) -> int:
    """Write until nothing more is taken; the far end does not read."""
    total = 0
    while taken := device.write(b"x" * 1000):
        total += taken
    return total


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


async def test_what_is_discarded_is_not_sent_and_what_follows_is(
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


async def test_configure_returns_what_took_effect(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    async with opened(make(far.path, SETTINGS), Listener()) as device:
        wanted = replace(SETTINGS, baud=9600, stop_bits=2, flow_control=FlowControl.XON_XOFF)
        assert await device.configure(wanted) == wanted
        assert device.settings == wanted
        assert termios.tcgetattr(far.master)[5] == termios.B9600


async def test_a_custom_baud_rate_takes_effect(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    async with opened(make(far.path, SETTINGS), Listener()) as device:
        assert (await device.configure(replace(SETTINGS, baud=250_000))).baud == 250_000
        assert system_tty().read(far.master).baud == 250_000


@pytest.mark.parametrize(
    ("change", "name"),
    [({"parity": Parity.EVEN}, "parity EVEN"), ({"data_bits": 7}, "data_bits 7")],
)
async def test_what_a_pty_cannot_do_is_refused_by_name_and_changes_nothing(
    make: Callable[[str, LineSettings], Device], far: Far, change: dict[str, Any], name: str
) -> None:
    async with opened(make(far.path, SETTINGS), Listener()) as device:
        with pytest.raises(InvalidArgumentError, match=name):
            await device.configure(replace(SETTINGS, **change))
        assert device.settings == SETTINGS
        assert termios.tcgetattr(far.master)[5] == termios.B115200


async def test_a_refusal_takes_the_rest_of_the_request_back(far: Far) -> None:
    async with opened(PosixDevice(far.path, SETTINGS), Listener()) as device:
        with pytest.raises(InvalidArgumentError, match="refuses parity ODD"):
            await device.configure(replace(SETTINGS, baud=9600, parity=Parity.ODD))
        assert termios.tcgetattr(far.master)[5] == termios.B115200


@pytest.mark.parametrize(
    "change", [{"baud": 0}, {"data_bits": 9}, {"stop_bits": 3}], ids=["baud", "bits", "stop"]
)
async def test_malformed_settings_are_refused_by_name(
    make: Callable[[str, LineSettings], Device], far: Far, change: dict[str, Any]
) -> None:
    async with opened(make(far.path, SETTINGS), Listener()) as device:
        with pytest.raises(InvalidArgumentError, match=next(iter(change))):
            await device.configure(replace(SETTINGS, **change))


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


class RefusedRequests:
    """A USB device that refuses what it is asked by a control transfer; its bytes go on.

    cdc-acm.c, acm_tty_break_ctl passes EPIPE on from a device that stalls the request;
    usb_translate_errors (usb/serial) turns most errors into EIO, which a hung-up line gives too.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.refused: set[int] = set()
        self._number = number
        self._ioctl = fcntl.ioctl
        monkeypatch.setattr(fcntl, "ioctl", self._answer)
        monkeypatch.setattr(LinuxTty, "is_pty", lambda *_: False)

    def _answer(self, descriptor: int, request: int, *argument: Any) -> Any:
        if request in self.refused:
            raise OSError(self._number, os.strerror(self._number))
        if request == termios.TIOCMGET:
            return struct.pack("i", termios.TIOCM_CTS)
        if request == termios.TIOCMSET:
            return argument[0]
        return self._ioctl(descriptor, request, *argument)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EPIPE, NotSupportedError), (errno.EIO, DeviceError), (errno.ETIMEDOUT, DeviceError)],
)
async def test_a_device_that_refuses_a_request_is_not_lost(
    far: Far, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    usb = RefusedRequests(monkeypatch, number)
    device, listener = PosixDevice(far.path, SETTINGS), Listener()
    await device.open(listener)
    usb.refused = {LinuxTty.start_break, termios.TIOCMSET, termios.TIOCMGET}
    with pytest.raises(error):
        await device.set_break(on=True)
    with pytest.raises(error):
        await device.set_lines(dtr=False)
    device.write(b"still there")
    await until(lambda: far.take() == b"still there")
    assert not listener.lost
    usb.refused = set()
    await device.set_lines(dtr=False)
    await device.close()


async def test_a_line_that_is_gone_is_lost_at_a_request_that_fails(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb = RefusedRequests(monkeypatch, errno.EIO)
    device, listener = PosixDevice(far.path, SETTINGS), Listener()
    await device.open(listener)
    device.pause_reading()
    usb.refused = {termios.TIOCMGET}
    far.hang_up()
    await until(lambda: listener.lost)
    await device.close()


async def test_lines_without_a_listener_are_not_read(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    RefusedRequests(monkeypatch, errno.EIO)
    reads: list[int] = []

    def read(descriptor: int) -> ModemLines:
        reads.append(descriptor)
        return ModemLines(cts=True)

    monkeypatch.setattr(posix_control, "read_modem_lines", read)
    device = PosixDevice(far.path, SETTINGS)
    await device.open(Listener())
    await until(lambda: len(reads) >= 2)
    device.watch_lines(on=False)
    await device.set_lines(dtr=True)  # what was begun before has ended
    before = len(reads)
    await asyncio.sleep(4 * POLL_S)
    assert len(reads) == before
    device.watch_lines(on=True)
    await until(lambda: len(reads) > before)
    await device.close()


async def test_a_pty_has_no_modem_lines(
    make: Callable[[str, LineSettings], Device], far: Far
) -> None:
    async with opened(make(far.path, SETTINGS), Listener()) as device:
        assert device.lines() == ModemLines()


async def test_a_break_that_is_not_carried_is_refused(far: Far) -> None:
    device = PosixDevice(far.path, SETTINGS)
    await device.open(Listener())
    with pytest.raises(NotSupportedError, match="pty, which does not carry a break"):
        await device.set_break(on=True)
    await device.close()


async def test_what_a_socket_does_not_carry_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        device = ThreadedDevice(f"socket://127.0.0.1:{server.getsockname()[1]}", SETTINGS)
        await device.open(Listener())
        with pytest.raises(NotSupportedError, match="does not carry a break"):
            await device.set_break(on=True)
        with pytest.raises(NotSupportedError, match="does not carry DTR and RTS"):
            await device.set_lines(dtr=True)
        await device.close()


class RefusingPort(serial.Serial):
    """pyserial's RFC 2217 port where the other side does not do what it is asked."""

    @property
    def break_condition(self) -> bool:
        return False

    @break_condition.setter
    def break_condition(self, on: bool) -> None:
        raise ValueError("remote rejected value for option 'control'")


def test_what_the_other_side_of_a_port_refuses_is_refused() -> None:
    with pytest.raises(NotSupportedError, match="refuses a break: remote rejected"):
        set_port_break("rfc2217://a:1", RefusingPort(), True)


async def test_lines_that_are_not_there_cannot_be_set(far: Far) -> None:
    async with opened(PosixDevice(far.path, SETTINGS), Listener()) as device:
        with pytest.raises(NotSupportedError):
            device.set_lines(dtr=True)


async def test_lines_to_be_set_at_open_that_are_not_there_are_named(far: Far) -> None:
    with pytest.raises(DeviceError, match="no DTR and RTS"):
        await PosixDevice(far.path, SETTINGS, dtr=False).open(Listener())


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


async def test_a_slow_adapter_delays_only_its_own_requests(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As ftdi_sio and cp210x do, which ask the adapter: a control transfer, 5 s if it is sick.
    answers = threading.Event()
    lines = ModemLines(False, False, False, False, dtr=True, rts=True)

    def late(_descriptor: int) -> ModemLines:
        if threading.current_thread() is threading.main_thread():
            raise AssertionError("asked on the event loop")
        return lines if not is_open else (answers.wait(DEADLINE_S), lines)[1]

    def set_late(_descriptor: int, **_: bool | None) -> None:
        late(_descriptor)

    is_open = False
    monkeypatch.setattr(open_port, "read_modem_lines", late)
    monkeypatch.setattr(posix_control, "read_modem_lines", late)
    monkeypatch.setattr(posix_control, "set_modem_lines", set_late)
    device, listener = PosixDevice(far.path, SETTINGS), Listener()
    await device.open(listener)
    is_open = True
    setting = device.set_lines(dtr=False)
    changing = asyncio.create_task(device.configure(replace(SETTINGS, baud=9600)))
    await asyncio.sleep(0)
    assert device.lines() == lines
    assert device.write(b"x") == 0  # the kernel would hold the loop: it is told when it is over
    closing = asyncio.create_task(device.close())
    await asyncio.sleep(0)
    assert not closing.done()
    answers.set()
    await closing
    with contextlib.suppress(DeviceError, asyncio.CancelledError):
        await asyncio.gather(setting, changing)
    assert not own_threads()


async def test_what_is_written_while_settings_change_goes_out_afterwards(far: Far) -> None:
    listener = Listener()
    async with opened(PosixDevice(far.path, SETTINGS), listener) as device:
        changing = asyncio.create_task(device.configure(replace(SETTINGS, baud=9600)))
        await asyncio.sleep(0)
        assert device.write(b"!") == 0
        await changing
        await until(lambda: listener.writable_calls)
        assert device.write(b"!") == 1
        await until(lambda: far.take() == b"!")


class SlowTty(LinuxTty):
    """A tty whose adapter takes its time to change settings."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def write(self, descriptor: int, wanted: Any) -> None:
        self.begun.set()
        assert self.may_end.wait(DEADLINE_S)
        super().write(descriptor, wanted)


async def test_what_came_before_a_discard_is_discarded_though_settings_change_meanwhile(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread behind the change comes too late: the loop reads before it, or after answers."""
    monkeypatch.setattr(posix_device, "system_tty", SlowTty)
    device, listener = PosixDevice(far.path, SETTINGS), Listener()
    tty = device._tty
    assert isinstance(tty, SlowTty)
    tty.may_end.set()
    async with opened(device, listener):
        tty.may_end.clear()
        tty.begun.clear()
        changing = asyncio.create_task(device.configure(replace(SETTINGS, baud=9600)))
        await until(tty.begun.is_set)
        far.send(b"stale")
        control = device._control
        assert control is not None
        lines = control._thread.submit(tty.may_end.wait, DEADLINE_S)  # a sick adapter's lines
        device.discard_input()
        late = control._thread.submit(lambda: None)
        tty.may_end.set()
        await asyncio.gather(changing, lines, late)
        far.send(b"fresh")
        await until(lambda: listener.received.endswith(b"fresh"))
    assert listener.received == b"fresh"


def sick_adapter(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let modem lines take until told; returns what says that one has begun, and what ends it."""
    begun, may_end = threading.Event(), threading.Event()

    def set_late(*_: object, **__: object) -> None:
        begun.set()
        assert may_end.wait(DEADLINE_S)

    lines = ModemLines(False, False, False, False, dtr=True, rts=True)
    monkeypatch.setattr(open_port, "read_modem_lines", lambda _: lines)
    monkeypatch.setattr(posix_control, "read_modem_lines", lambda _: lines)
    monkeypatch.setattr(posix_control, "set_modem_lines", set_late)
    monkeypatch.setattr(threaded_device, "set_port_lines", set_late)
    return begun, may_end


@pytest.mark.parametrize("maker", MAKERS)
async def test_work_dropped_at_the_end_of_a_device_is_an_error_and_cancels_no_task(
    maker: Callable[[str, LineSettings], Device], far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = sick_adapter(monkeypatch)
    device = maker(far.path, SETTINGS)
    await device.open(Listener())
    under_way = asyncio.ensure_future(device.set_lines(dtr=True))
    dropped = asyncio.ensure_future(device.set_lines(dtr=False))
    device.set_lines(rts=False)  # nobody awaits it
    await until(begun.is_set)
    closing = asyncio.create_task(device.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    with contextlib.suppress(DeviceError):
        await under_way
    with pytest.raises(DeviceError, match="was closed"):
        await dropped


@pytest.mark.parametrize("maker", MAKERS)
async def test_a_stop_goes_out_while_an_adapter_takes_its_time_with_modem_lines(
    maker: Callable[[str, LineSettings], Device], far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = sick_adapter(monkeypatch)
    async with opened(maker(far.path, SETTINGS), Listener()) as device:
        device.set_lines(dtr=True)
        await until(begun.is_set)
        device.discard_output()
        device.write(b"\x18")
        await until(lambda: far.take().endswith(b"\x18"))
        device.discard_input()
        may_end.set()
    await until(lambda: not own_threads())


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


def test_what_a_driver_holds_gets_a_moment_and_is_thrown_away_then(
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


async def test_what_is_no_serial_device_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    for path in (str(plain), "/dev/null"):
        with pytest.raises(DeviceError, match="is not a serial device"):
            await PosixDevice(path, SETTINGS).open(Listener())


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


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("usbshare")]


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


async def test_a_loopback_url_carries_bytes_and_lines() -> None:
    listener = Listener()
    async with opened(ThreadedDevice("loop://", SETTINGS), listener) as device:
        assert device.lines().cts is True
        device.write(b"round")
        await until(lambda: listener.received == b"round")
        device.set_lines(rts=False)
        await until(lambda: listener.lines and listener.lines[-1].cts is False)


async def test_a_socket_url_carries_bytes_knows_no_lines_and_ends_as_lost() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    listener = Listener()
    device = ThreadedDevice(f"socket://127.0.0.1:{server.getsockname()[1]}", SETTINGS)
    with server:
        await device.open(listener)
        peer, _ = server.accept()
        with peer:
            assert device.lines() == ModemLines()
            peer.sendall(bytes(range(256)))
            await until(lambda: listener.received == bytes(range(256)))
            device.write(b"answer")
            assert await device.drain(10) is Completion.ASSUMED_SUCCESS
            assert await asyncio.to_thread(peer.recv, 100) == b"answer"
        await until(lambda: listener.lost)
    await device.close()


async def test_no_answer_at_a_url_is_a_device_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DeviceError, match="cannot be opened"):
        await ThreadedDevice(url, SETTINGS).open(Listener())
