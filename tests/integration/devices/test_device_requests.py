"""Settings, modem lines and breaks of every Device, on real ptys and sick adapters."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import serial

from fakes.real_devices import (
    DEADLINE_S,
    MAKERS,
    SETTINGS,
    Far,
    Listener,
    opened,
    own_threads,
)
from fakes.waiting import until
from usbshare.base.errors import DeviceError, InvalidArgumentError, NotSupportedError
from usbshare.line.modem_inputs import POLL_S
from usbshare.line.posix import control as posix_control
from usbshare.line.posix import device as posix_device
from usbshare.line.posix import open_port
from usbshare.line.posix.device import PosixDevice
from usbshare.line.posix.linux_tty import LinuxTty
from usbshare.line.posix.tty_control import system_tty
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
async def test_settings_that_a_pty_lacks_are_refused_by_name_and_change_nothing(
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
    await until(lambda: device.lines() != ModemLines())  # a look meanwhile may have found none
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


async def test_settings_that_a_socket_does_not_carry_are_refused() -> None:
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


def test_settings_that_the_other_side_of_a_port_refuses_are_refused() -> None:
    with pytest.raises(NotSupportedError, match="refuses a break: remote rejected"):
        set_port_break("rfc2217://a:1", RefusingPort(), True)


async def test_lines_that_are_not_there_cannot_be_set(far: Far) -> None:
    async with opened(PosixDevice(far.path, SETTINGS), Listener()) as device:
        with pytest.raises(NotSupportedError):
            device.set_lines(dtr=True)


async def test_lines_to_be_set_at_open_that_are_not_there_are_named(far: Far) -> None:
    with pytest.raises(DeviceError, match="no DTR and RTS"):
        await PosixDevice(far.path, SETTINGS, dtr=False).open(Listener())


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
    await until(lambda: not own_threads())


async def test_bytes_written_while_settings_change_go_out_afterwards(far: Far) -> None:
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


async def test_bytes_before_a_discard_are_discarded_even_while_settings_change(
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


async def test_a_path_that_is_not_a_serial_device_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    for path in (str(plain), "/dev/null"):
        with pytest.raises(DeviceError, match="is not a serial device"):
            await PosixDevice(path, SETTINGS).open(Listener())


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
