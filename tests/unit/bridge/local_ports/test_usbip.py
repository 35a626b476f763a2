"""The USB port beside the kernel's driver, which is played."""

from __future__ import annotations

import struct
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fakes.cdc_acm import CdcAcm
from fakes.vhci import FakeVhci, fake_vhci
from fakes.waiting import until
from usbshare.bridge.local_ports import usbip
from usbshare.bridge.local_ports.vhci_port import VhciPort
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.settings import LineEvents, LineSettings, ModemLines, Parity
from usbshare.usbip.cdc import LineCoding, SerialState
from usbshare.usbip.errors import STALLED
from usbshare.usbip.vhci.attach import PlugPlaces, VhciError
from usbshare.usbip.vhci.helper import Vhci

SETTINGS = LineSettings(baud=115200)
MOST_AHEAD_BYTES = 2560


class Listener:
    """What the port says, in order; bytes are kept, and count as waiting while `holds`."""

    def __init__(self, port: VhciPort) -> None:
        self.said: list[object] = []
        self.written = bytearray()
        self.holds = False
        self.breaks_work: bool | None = True
        self.waiting_bytes = 0
        self.unanswered: list[Callable[[bool], None]] = []
        self._port = port

    def program_wrote(self, data: bytes) -> None:
        self.written += data
        if self.holds:
            self.waiting_bytes += len(data)
            self._port.limit_reading(READ_AHEAD_BYTES - self.waiting_bytes)

    def let_go(self, size: int) -> None:
        self.waiting_bytes -= size
        self._port.limit_reading(READ_AHEAD_BYTES - self.waiting_bytes)

    def program_opened(self) -> None:
        self.said.append("opened")

    def program_closed(self) -> None:
        self.said.append("closed")

    def program_configured(self, settings: LineSettings) -> None:
        self.said.append(settings)

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        self.said.append(("lines", dtr, rts))

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        self.said.append(("break", on))
        if self.breaks_work is None:
            self.unanswered.append(answered)
        else:
            answered(self.breaks_work)

    def program_flushed(self, *, received: bool, written: bool) -> None:
        self.said.append(("flushed", received, written))
        self.waiting_bytes = 0
        self._port.limit_reading(READ_AHEAD_BYTES)

    def port_writable(self) -> None:
        self.said.append("writable")

    def port_renamed(self, said: str) -> None:
        self.said.append(said)

    def port_lost(self, reason: str) -> None:
        raise AssertionError(reason)


class Rig:
    """A port that is plugged in, with its driver."""

    def __init__(self, kernel: FakeVhci) -> None:
        self.kernel = kernel
        self.port = VhciPort(kernel.places, kernel.dev)
        self.listener = Listener(self.port)

    async def start(self) -> CdcAcm:
        self.port.far_end_is("laser.local", "laser")
        await self.port.start(self.listener, SETTINGS)
        return await self.kernel.driver()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with fake_vhci(tmp_path) as kernel:
        made = Rig(kernel)
        try:
            yield made
        finally:
            await made.port.close()


@pytest.fixture
async def driver(rig: Rig) -> CdcAcm:
    return await rig.start()


@pytest.fixture
async def opened(rig: Rig, driver: CdcAcm) -> CdcAcm:
    await driver.open()
    assert rig.listener.said == ["opened", ("lines", True, True)]
    rig.listener.said.clear()
    return driver


def test_the_port_is_named_after_what_is_behind_it(rig: Rig, driver: CdcAcm) -> None:
    maker, product, serial_number = driver.strings
    assert (maker, product) == ("usbshare", "laser at laser.local")
    assert serial_number
    assert rig.port.path == str(rig.kernel.dev / "ttyACM1")


def test_the_port_does_not_call_itself_a_modem(driver: CdcAcm) -> None:
    assert driver.configuration.interfaces[0].protocol == 0


def test_the_drivers_own_settings_do_not_reach_the_device(rig: Rig, driver: CdcAcm) -> None:
    assert driver.strings
    assert rig.listener.said == []


def test_a_fresh_port_has_the_settings_in_force_and_keeps_dtr(rig: Rig, driver: CdcAcm) -> None:
    assert driver.strings
    found = termios.tcgetattr(rig.kernel.tty)
    assert found[5] == termios.B115200
    assert not found[2] & termios.HUPCL


async def test_a_program_that_comes_sets_lines_and_settings(rig: Rig, opened: CdcAcm) -> None:
    assert await opened.configure(LineCoding(250000, 2, 2, 7)) == 0
    wanted = LineSettings(baud=250000, data_bits=7, parity=Parity.EVEN, stop_bits=2)
    assert rig.listener.said == [wanted]
    await opened.set_lines(dtr=False, rts=True)
    assert rig.listener.said[1:] == [("lines", False, True)]


@pytest.mark.parametrize(
    "coding", [LineCoding(0), LineCoding(data_bits=9), LineCoding(parity=5), LineCoding(9600, 3)]
)
async def test_settings_that_cannot_be_are_refused(
    rig: Rig, opened: CdcAcm, coding: LineCoding
) -> None:
    assert await opened.configure(coding) == STALLED
    assert rig.listener.said == []


async def test_bytes_pass_both_ways(rig: Rig, opened: CdcAcm) -> None:
    await opened.write_all(b"$I\n")
    await opened.drain()
    assert rig.listener.written == b"$I\n"
    assert rig.port.write(b"ok\r\n") == 4
    assert await opened.read(4) == b"ok\r\n"


@pytest.mark.parametrize("size", [20, 160, 4096])
async def test_a_program_is_never_more_than_2560_bytes_ahead(
    rig: Rig, opened: CdcAcm, size: int
) -> None:
    rig.listener.holds = True
    written = 0
    while (taken := opened.write(b"G" * size)) == size:
        written += taken
    written += taken
    await until(lambda: len(rig.listener.written) == written)
    assert opened.unwritten_bytes == written <= MOST_AHEAD_BYTES
    rig.listener.let_go(written - 1)
    await until(lambda: opened.unwritten_bytes == min(size, 160))
    rig.listener.let_go(1)
    await opened.drain()


async def test_an_urgent_byte_is_seen_though_nothing_before_it_has_left(
    rig: Rig, opened: CdcAcm
) -> None:
    rig.listener.holds = True
    for _ in range(15):
        assert opened.write(b"G1 X10 Y10 F1000\n") == 17
    assert opened.write(b"!") == 1
    await until(lambda: rig.listener.written.endswith(b"!"))
    assert opened.unwritten_bytes == 15 * 17 + 1


async def test_a_large_write_waits_for_room_and_is_passed_in_parts(
    rig: Rig, opened: CdcAcm
) -> None:
    rig.port.limit_reading(10)
    opened.write(b"x" * 25)
    await until(lambda: len(rig.listener.written) == 25)
    assert opened.unwritten_bytes == 25
    rig.port.limit_reading(0)
    opened.write(b"y")
    rig.port.limit_reading(READ_AHEAD_BYTES)
    await opened.drain()
    assert rig.listener.written == b"x" * 25 + b"y"


async def test_a_transfer_that_a_program_unlinks_is_void_and_never_answered(
    rig: Rig, opened: CdcAcm
) -> None:
    rig.listener.holds = True
    for _ in range(4):
        opened.write(b"G1 X1\n")
    await until(lambda: len(rig.listener.written) == 24)
    await opened.flush()
    assert rig.listener.said[0] == ("flushed", False, True)
    assert opened.unwritten_bytes == 0
    rig.listener.holds = False
    await opened.write_all(b"$I\n")
    await opened.drain()
    assert rig.listener.written.endswith(b"$I\n")
    assert opened.violations == []


async def test_a_program_that_leaves_is_told_and_its_transfers_are_not_answered(
    rig: Rig, opened: CdcAcm
) -> None:
    rig.listener.holds = True
    opened.write(b"G1 X1\n")
    await until(lambda: rig.listener.written)
    await opened.close()
    assert rig.listener.said == ["closed"]
    assert rig.port.write(b"for nobody") == 10
    rig.listener.let_go(6)
    await opened.open()
    assert rig.listener.said == ["closed", "opened", ("lines", True, True)]
    await opened.read(0)
    assert opened.received == b""
    assert opened.violations == []


async def test_bytes_for_a_program_that_does_not_read_wait(rig: Rig, opened: CdcAcm) -> None:
    opened.throttle()
    sent = bytes(range(256)) * 16
    taken = rig.port.write(sent)
    assert taken == 16 * 128
    assert rig.port.write(sent[taken:]) == 0
    opened.unthrottle()
    await until(lambda: "writable" in rig.listener.said)
    assert await opened.read(taken) == sent[:taken]


async def test_a_break_is_answered_as_the_device_answers(rig: Rig, opened: CdcAcm) -> None:
    assert await opened.send_break() == 0
    assert await opened.send_break(0) == 0
    assert rig.listener.said == [("break", True), ("break", False)]
    rig.listener.breaks_work = False
    assert await opened.send_break() == STALLED


async def test_a_break_of_a_given_length_is_ended_here(rig: Rig, opened: CdcAcm) -> None:
    assert await opened.send_break(20) == 0
    await until(lambda: rig.listener.said == [("break", True), ("break", False)])


async def test_a_break_that_nobody_answers_is_refused(
    rig: Rig, opened: CdcAcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usbip, "BREAK_TIMEOUT_S", 0.05)
    rig.listener.breaks_work = None
    assert await opened.send_break() == STALLED
    rig.listener.unanswered[0](True)
    await opened.set_lines(dtr=True, rts=True)
    assert opened.violations == []


async def test_a_program_sees_the_lines_of_the_device(rig: Rig, opened: CdcAcm) -> None:
    await until(lambda: opened.states == [SerialState.DCD | SerialState.DSR])
    rig.port.show_lines(ModemLines(cd=False, dsr=True, ri=True))
    await until(lambda: opened.states[1:] == [SerialState.DSR | SerialState.RING])
    rig.port.show_lines(ModemLines(cd=False, dsr=True, ri=True))
    await opened.set_lines(dtr=True, rts=True)
    assert len(opened.states) == 2


async def test_line_errors_are_reported_to_a_program_once(rig: Rig, opened: CdcAcm) -> None:
    await until(lambda: opened.states)
    before = opened.states[-1]
    rig.port.show_events(LineEvents(line_break=True, overrun=True))
    events = SerialState.BREAK | SerialState.OVERRUN
    await until(lambda: opened.states[1:] == [before | events, before])
    await opened.close()
    rig.port.show_events(LineEvents(line_break=True))
    await opened.open()
    assert opened.states[-1] == before


async def test_a_hang_up_unplugs_the_port_and_it_comes_back(rig: Rig, opened: CdcAcm) -> None:
    rig.listener.holds = True
    opened.write(b"G1 X1\n")
    await until(lambda: rig.listener.written)
    rig.port.hang_up()
    assert rig.listener.said == ["closed"]
    await opened.until_gone()
    assert opened.write_sizes == []
    fresh = await rig.kernel.driver(1)
    assert fresh.strings == opened.strings
    rig.listener.let_go(6)
    rig.listener.holds = False
    await until(lambda: "the USB port is back" in str(rig.listener.said[-1]))
    await fresh.open()
    assert rig.listener.said[-2:] == ["opened", ("lines", True, True)]
    await fresh.write_all(b"$I\n")
    await fresh.drain()
    assert rig.listener.written.endswith(b"$I\n")


async def test_a_port_that_the_system_unplugs_comes_back(rig: Rig, opened: CdcAcm) -> None:
    await opened.leave()
    await until(lambda: "closed" in rig.listener.said)
    fresh = await rig.kernel.driver(1)
    await until(lambda: "the USB port is back" in str(rig.listener.said[-1]))
    await fresh.open()
    assert rig.listener.said[-1] == ("lines", True, True)


async def test_a_port_that_cannot_come_back_is_reported_once_and_tried_again(
    rig: Rig, opened: CdcAcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usbshare.bridge.local_ports.vhci_port.AGAIN_S", 0.01)
    rig.kernel.refuses = "all ports are in use"
    rig.port.hang_up()
    await until(lambda: "all ports are in use; still trying" in str(rig.listener.said[-1]))
    await until(lambda: rig.kernel.refused >= 3)
    rig.kernel.refuses = ""
    await until(lambda: "the USB port is back" in str(rig.listener.said[-1]))
    told = [each for each in rig.listener.said if "still trying" in str(each)]
    assert len(told) == 1
    assert await rig.kernel.driver(1)


async def test_a_client_that_violates_the_protocol_is_unplugged(rig: Rig, opened: CdcAcm) -> None:
    opened._writer.write(struct.pack("!I44x", 9))
    await opened.until_gone()
    assert await rig.kernel.driver(1)


async def test_a_kernel_without_the_controller_is_reported_with_the_remedy(tmp_path: Path) -> None:
    port = VhciPort(PlugPlaces(tmp_path, tmp_path / "none"), tmp_path)
    with pytest.raises(VhciError, match="sudo modprobe vhci-hcd"):
        await port.start(Listener(port), SETTINGS)
    await port.close()


async def test_a_user_without_the_right_to_plug_in_is_refused_with_a_reason(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vhci, "may_attach", False)
    rig.kernel.places.helper.unlink()
    with pytest.raises(VhciError, match="this user may not plug in a virtual USB device"):
        await rig.start()


async def test_settings_that_changed_at_the_far_end_are_put_on_a_port_nobody_uses(
    rig: Rig, driver: CdcAcm
) -> None:
    rig.port.apply_settings(LineSettings(baud=9600))
    await until(lambda: termios.tcgetattr(rig.kernel.tty)[5] == termios.B9600)
    await driver.open()
    await until(lambda: "opened" in rig.listener.said)
