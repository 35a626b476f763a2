"""The virtual port on Linux as programs see it: real opens, real settings, real links."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import serial

from fakes.ordinary_user import is_root, without_capability
from fakes.waiting import until
from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.port_makers import virtual_port_for
from usbshare.line.settings import FlowControl, LineSettings, ModemLines, Parity

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.linux_pty import LinuxPty
    from usbshare.bridge.local_ports.macos_pty import MacosPty
    from usbshare.bridge.local_ports.pty import PtyPort

T = TypeVar("T")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual port")

SETTINGS = LineSettings()
EXTPROC = 0o200000


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


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(autouse=True)
def _private_runtime_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr("usbshare.line.name_link.runtime_folder", lambda: runtime)


@pytest.fixture(autouse=True, params=["root", "ordinary user"])
def _user(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have each test run as the user who may everything, and as one who may not."""
    if request.param == "root" and not is_root():
        pytest.skip("the tests do not run as root")
    with (
        without_capability() if is_root() and request.param != "root" else contextlib.nullcontext()
    ):
        yield


@pytest.fixture(params=["LinuxPty", "MacosPty"])
def any_kind(request: pytest.FixtureRequest) -> type[PtyPort]:
    return {"LinuxPty": LinuxPty, "MacosPty": MacosPty}[request.param]


@pytest.fixture
async def port(listener: Listener, tmp_path: Path) -> AsyncIterator[LinuxPty]:
    port = LinuxPty(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    yield port
    await port.close()


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


async def test_what_a_pty_cannot_carry_is_returned_unchanged(
    listener: Listener, tmp_path: Path
) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    odd = LineSettings(data_bits=7, parity=Parity.EVEN)
    await port.start(listener, odd)
    await run("stty", "-F", port.path, "57600")
    await until(lambda: listener.settings)
    assert listener.settings[-1] == replace(odd, baud=57600)
    await port.close()


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


async def test_a_program_that_closes_at_once_is_still_read(
    port: LinuxPty, listener: Listener
) -> None:
    with program(port, os.O_WRONLY) as descriptor:
        os.write(descriptor, b"M5\n")
    await until(lambda: listener.events == ["opened", "wrote", "closed"])
    assert listener.written == b"M5\n"


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


async def test_what_a_paused_port_holds_outlives_the_program(
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


async def test_what_a_paused_port_holds_is_void_after_a_hang_up(
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


async def test_a_plain_name_is_in_the_runtime_folder_and_the_pty_is_private(
    listener: Listener, tmp_path: Path
) -> None:
    port = virtual_port_for("COM10")
    assert port.path == str(tmp_path / "runtime" / "COM10")
    assert not is_taken(port.path)
    await port.start(listener, SETTINGS)
    assert Path(port.path).resolve().parent == Path("/dev/pts")  # noqa: ASYNC240
    found = os.stat(port.path)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()
    await port.close()
    assert not is_taken(port.path)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_what_is_not_ours_is_left_alone(
    listener: Listener, tmp_path: Path, kind: str
) -> None:
    taken = tmp_path / "COM10"
    make: dict[str, Callable[[], None]] = {
        "file": taken.touch,
        "folder": taken.mkdir,
        "link": lambda: taken.symlink_to("/dev/null"),
    }
    make[kind]()
    with pytest.raises(ConfigError, match=f"{taken} exists and is not a link"):
        await LinuxPty(str(taken)).start(listener, SETTINGS)
    assert is_taken(taken)


async def test_a_link_to_another_programs_live_pty_is_left_alone(
    listener: Listener, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    taken = tmp_path / "COM10"
    taken.symlink_to(os.ttyname(slave))
    with pytest.raises(ConfigError, match="not a link that usbshare made"):
        await LinuxPty(str(taken)).start(listener, SETTINGS)
    os.close(master)
    os.close(slave)


async def test_a_dangling_link_to_a_pty_is_replaced(listener: Listener, tmp_path: Path) -> None:
    stale = tmp_path / "COM10"
    stale.symlink_to("/dev/pts/99999")
    port = LinuxPty(str(stale))
    await port.start(listener, SETTINGS)
    assert os.readlink(stale) != "/dev/pts/99999"
    await port.close()


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


async def test_the_name_of_a_running_bridge_is_refused(port: LinuxPty, listener: Listener) -> None:
    with pytest.raises(
        ConfigError, match=rf"another program of usbshare \(process {os.getpid()}\) offers"
    ):
        await LinuxPty(port.path).start(Listener(), SETTINGS)
    assert is_taken(port.path)


async def test_a_link_that_was_replaced_is_not_removed_at_close(
    listener: Listener, tmp_path: Path
) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    (tmp_path / "COM10").unlink()
    (tmp_path / "COM10").touch()
    await port.close()
    assert is_taken(port.path)


async def test_a_folder_that_is_missing_is_named(listener: Listener, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot create the link"):
        await LinuxPty(str(tmp_path / "no" / "COM10")).start(listener, SETTINGS)


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


async def test_a_port_that_is_not_there_takes_calls(listener: Listener, tmp_path: Path) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    assert port.write(b"x") == 1
    port.limit_reading(0)
    port.limit_reading(4095)
    port.apply_settings(SETTINGS)
    port.show_lines(ModemLines())
    await port.close()
