"""The virtual port on Windows, with com0com's pair played by a pty and by a fake."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

import pytest

from fakes.waiting import until
from usbshare.base.errors import ConfigError, DeviceError
from usbshare.bridge.local_ports.com0com import Com0comPort
from usbshare.bridge.local_ports.com0com_pairs import paired_port
from usbshare.line.settings import Completion, DeviceListener, Done, LineSettings, ModemLines
from usbshare.line.threaded.device import ThreadedDevice

SETTINGS = LineSettings()
PAIRS = {"CNCA0": "COM10", "CNCB0": None, "CNCA1": "COM20", "CNCB1": "COM21"}


class Listener:
    def __init__(self) -> None:
        self.written = bytearray()
        self.events: list[str] = []
        self.lines: list[tuple[bool | None, bool | None]] = []
        self.lost: list[str] = []

    def program_wrote(self, data: bytes) -> None:
        self.written += data

    def program_opened(self) -> None:
        self.events.append("opened")

    def program_closed(self) -> None:
        self.events.append("closed")

    def program_configured(self, settings: LineSettings) -> None:
        self.events.append("configured")

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        self.lines.append((dtr, rts))

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        raise AssertionError("this port carries no break")

    def program_flushed(self, *, received: bool, written: bool) -> None:
        self.events.append("flushed")

    def port_writable(self) -> None:
        self.events.append("writable")

    def port_renamed(self, said: str) -> None:
        raise AssertionError(said)

    def port_lost(self, reason: str) -> None:
        self.lost.append(reason)


class PairedEnd:
    """A Device that remembers what it was given."""

    holds_back = False
    has_line_rate = True
    paces_itself = False
    low_latency = None

    def __init__(self, *, lines: ModemLines, fails: bool = False) -> None:
        self.listener: DeviceListener
        self.current = lines
        self.fails = fails
        self.sent = bytearray()
        self.shown: list[tuple[bool | None, bool | None]] = []
        self.closed = False
        self.inputs_discarded = 0

    @property
    def settings(self) -> LineSettings:
        return SETTINGS

    async def open(self, listener: DeviceListener) -> None:
        if self.fails:
            raise DeviceError("CNCB0 is held by another program")
        self.listener = listener

    def write(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def unsent_bytes(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def discard_output(self) -> None:
        self.sent.clear()

    def discard_input(self) -> None:
        self.inputs_discarded += 1

    async def configure(self, settings: LineSettings) -> LineSettings:
        return settings

    async def drain(self, timeout_s: float) -> Completion:
        return Completion.OK

    def lines(self) -> ModemLines:
        return self.current

    def watch_lines(self, *, on: bool) -> None:
        pass

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Done:
        self.shown.append((dtr, rts))
        return Done()

    def set_break(self, *, on: bool) -> Done:
        return Done()

    async def close(self) -> None:
        self.closed = True

    def program(self, *, dtr: bool, rts: bool) -> None:
        """Act as the program at the other end of the null modem."""
        self.current = ModemLines(cts=rts, dsr=dtr, ri=False, cd=dtr)
        self.listener.lines_changed(self.current)


async def started(end: PairedEnd, listener: Listener) -> Com0comPort:
    port = Com0comPort("COM10", port_names=lambda: PAIRS, device=lambda _name, _settings: end)
    await port.start(listener, SETTINGS)
    return port


@pytest.mark.parametrize(
    ("name", "own_end"),
    [
        ("COM10", "CNCB0"),
        ("com10", "CNCB0"),
        ("CNCB0", "COM10"),
        ("COM20", "COM21"),
        ("COM21", "COM20"),
    ],
)
def test_the_other_end_of_a_pair_is_found_from_either(name: str, own_end: str) -> None:
    assert paired_port(name, PAIRS) == own_end


@pytest.mark.parametrize(
    "pairs", [{}, {"CNCA0": "COM10"}, {"CNCA0": "COM1", "CNCB0": "COM2"}, {"BUS": "COM10"}]
)
def test_a_port_without_a_pair_is_not_found(pairs: dict[str, str | None]) -> None:
    assert paired_port("COM10", pairs) is None


async def test_a_missing_pair_is_refused_with_the_remedy() -> None:
    port = Com0comPort("COM10", port_names=dict)
    with pytest.raises(ConfigError, match="setupc install PortName=COM10"):
        await port.start(Listener(), SETTINGS)


async def test_a_held_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot offer COM10: CNCB0 is held"):
        await started(PairedEnd(lines=ModemLines(), fails=True), Listener())


async def test_a_programs_lines_show_that_it_is_there_and_are_reported() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    await started(end, listener)
    assert listener.events == []
    end.program(dtr=True, rts=True)
    end.program(dtr=True, rts=False)
    end.program(dtr=False, rts=False)
    assert listener.events == ["opened", "closed"]
    assert listener.lines == [(True, True), (None, False), (False, None)]


async def test_bytes_written_without_a_reader_are_discarded() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, listener)
    assert port.write(b"stale") == 5
    end.program(dtr=True, rts=True)
    assert port.write(b"fresh") == 5
    assert end.sent == b"fresh"
    end.program(dtr=False, rts=False)
    assert end.sent == b""


async def test_a_program_that_writes_is_there_whatever_its_lines_say() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, listener)
    end.listener.data_received(b"G0")
    assert listener.events == ["opened"]
    assert listener.written == b"G0"
    port.write(b"ok")
    assert end.sent == b"ok"


async def test_the_devices_lines_are_shown_crossed() -> None:
    end = PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, Listener())
    port.show_lines(ModemLines(cts=False, dsr=True))
    assert end.shown == [(True, False)]


async def test_a_hung_up_program_sees_its_lines_fall_and_is_not_heard_until_it_has_closed() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, listener)
    end.program(dtr=True, rts=True)
    port.write(b"not read yet")
    port.hang_up()
    assert listener.events == ["opened", "closed"]
    assert end.shown == [(False, False)]
    assert not end.sent
    assert end.inputs_discarded == 1
    port.show_lines(ModemLines(cts=True, dsr=True))
    end.listener.data_received(b"G1 X10\n")
    assert port.write(b"ok") == 2
    assert not listener.written
    assert not end.sent
    assert end.shown == [(False, False)]
    end.program(dtr=False, rts=False)
    assert end.shown[-1] == (True, True)
    end.program(dtr=True, rts=True)
    end.listener.data_received(b"$$\n")
    assert listener.written == b"$$\n"
    assert listener.events == ["opened", "closed", "opened"]


async def test_a_hang_up_with_no_program_changes_no_lines() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, listener)
    port.hang_up()
    assert (listener.events, end.shown) == ([], [])
    end.program(dtr=True, rts=True)
    assert listener.events == ["opened"]


async def test_a_hung_up_program_without_lines_is_reported_gone_and_noticed_again() -> None:
    listener, end = Listener(), PairedEnd(lines=ModemLines(False, False, False, False))
    port = await started(end, listener)
    end.listener.data_received(b"G0\n")
    port.hang_up()
    end.listener.data_received(b"G1\n")
    assert listener.events == ["opened", "closed", "opened"]


async def test_close_closes_the_end_once() -> None:
    end = PairedEnd(lines=ModemLines())
    port = await started(end, Listener())
    await port.close()
    await port.close()
    assert end.closed


@pytest.mark.skipif(sys.platform == "win32", reason="needs ptys")
async def test_bytes_pass_both_ways_over_a_real_line_and_its_loss_is_reported() -> None:
    master, slave = os.openpty()
    path = os.ttyname(slave)
    listener = Listener()
    port = Com0comPort(
        "COM10",
        port_names=lambda: PAIRS,
        device=lambda _name, settings: ThreadedDevice(path, settings),
    )
    await port.start(listener, SETTINGS)
    os.set_blocking(master, False)
    os.write(master, bytes(range(256)))
    await until(lambda: listener.written == bytes(range(256)))
    assert port.write(b"answer") == 6
    await until(lambda: read_some(master) == b"answer")
    os.close(slave)
    os.close(master)
    await until(lambda: listener.lost)
    assert port.write(b"x") == 1
    await port.close()


def read_some(descriptor: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(descriptor, 4096)
    return b""
