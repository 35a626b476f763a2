from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.line.settings import Completion, Device, LineSettings, ModemLines
from usbshare.sim.device import SimDevice, sim_device
from usbshare.sim.grbl import GrblController
from usbshare.sim.uart import DRIVER_BUFFER_BYTES

DEADLINE_S = 20.0


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []
        self.has_room = asyncio.Event()
        self._changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def writable(self) -> None:
        self.has_room.set()

    def lines_changed(self, lines: ModemLines) -> None:
        raise AssertionError(lines)

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)

    async def until(self, expected: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while expected not in self.data:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def listener() -> Listener:
    return Listener()


@pytest.fixture
async def device(listener: Listener) -> AsyncIterator[SimDevice]:
    device = SimDevice(GrblController(), reset_on_dtr=True)
    await device.open(listener)
    await listener.until(b"help]\r\n")
    yield device
    await device.close()


def test_the_simulator_is_a_device() -> None:
    device: Device = sim_device("sim://grbl")
    assert device.settings == LineSettings()


async def test_the_simulator_answers(device: SimDevice, listener: Listener) -> None:
    assert device.write(b"$G\n") == 3
    await listener.until(b"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r\nok\r\n")


async def test_marlin_answers_too(listener: Listener) -> None:
    device = sim_device("sim://marlin")
    await device.open(listener)
    device.write(b"M115\n")
    await listener.until(b"Cap:EMERGENCY_PARSER:1")
    await device.close()


async def test_unsent_bytes_is_accurate_by_its_clock() -> None:
    now = [100.0]
    device = SimDevice(GrblController(), clock=lambda: now[0])
    await device.open(Listener())
    device.write(b";" * 1000)
    assert device.unsent_bytes() == 1000
    now[0] += 500 * 10 / 115200
    assert device.unsent_bytes() == pytest.approx(500, abs=4)
    now[0] += 501 * 10 / 115200
    assert device.unsent_bytes() == 0
    await device.close()


async def test_a_full_driver_says_when_it_has_room_again(
    device: SimDevice, listener: Listener
) -> None:
    assert device.write(b";" * 5000) == DRIVER_BUFFER_BYTES
    async with asyncio.timeout(DEADLINE_S):
        await listener.has_room.wait()
    assert device.write(b";") == 1


async def test_discarded_output_never_reaches_the_controller(device: SimDevice) -> None:
    before = device.controller.record.received_bytes
    device.write(b";" * 4000)
    device.discard_output()
    assert device.unsent_bytes() == 0
    assert device.controller.record.received_bytes - before < 2000


async def test_drain_waits_until_everything_has_left(device: SimDevice) -> None:
    device.write(b";" * 500)
    assert await device.drain(DEADLINE_S) is Completion.OK
    assert device.unsent_bytes() == 0


async def test_drain_has_a_deadline() -> None:
    device = SimDevice(GrblController(), clock=lambda: 1.0)
    await device.open(Listener())
    device.write(b";")
    assert await device.drain(0.01) is Completion.TIMEOUT
    await device.close()


async def test_a_paused_reader_gets_nothing_until_it_resumes(
    device: SimDevice, listener: Listener
) -> None:
    listener.data = b""
    device.pause_reading()
    device.write(b"\n")
    await device.drain(DEADLINE_S)
    assert listener.data == b""
    device.resume_reading()
    await listener.until(b"ok\r\n")


async def test_discarded_input_is_never_delivered(device: SimDevice, listener: Listener) -> None:
    listener.data = b""
    device.pause_reading()
    device.write(b"\n")
    await device.drain(DEADLINE_S)
    device.discard_input()
    device.resume_reading()
    device.write(b"$\n")
    await listener.until(b"HLP")
    assert not listener.data.startswith(b"ok")


async def test_a_rising_dtr_resets_and_a_steady_one_does_not(
    device: SimDevice, listener: Listener
) -> None:
    listener.data = b""
    device.set_lines(dtr=True)
    await listener.until(b"help]\r\n")
    assert device.lines().dtr is True
    device.set_lines(dtr=True, rts=True)
    device.set_lines(dtr=False)
    resets = [event for event in device.controller.record.events if event.name == "reset"]
    assert len(resets) == 1


async def test_settings_change_in_one_step(device: SimDevice) -> None:
    wanted = LineSettings(baud=9600)
    assert await device.configure(wanted) == wanted
    assert device.settings == wanted
    with pytest.raises(InvalidArgumentError, match="baud"):
        await device.configure(LineSettings(baud=0))


async def test_an_unplugged_device_reports_once_and_is_closed(
    device: SimDevice, listener: Listener
) -> None:
    device.unplug("cable pulled")
    device.unplug("again")
    assert listener.lost == ["cable pulled"]
    with pytest.raises(DeviceError, match="not open"):
        device.write(b"x")


async def test_a_closed_device_continues_and_forgets_what_it_said(listener: Listener) -> None:
    now = [0.0]
    device = SimDevice(GrblController(), clock=lambda: now[0])
    await device.open(listener)
    device.write(b"M4S9\nG1X10F600\n")
    now[0] = 0.1
    device.unsent_bytes()
    await device.close()
    now[0] = 60.0
    again = Listener()
    await device.open(again)
    device.write(b"\n")
    now[0] = 61.0
    await again.until(b"ok\r\n")
    assert again.data == b"ok\r\n"
    assert device.controller.record.beam_power == 0
    await device.close()


async def test_the_record_goes_to_the_file_of_the_url(tmp_path: Path, listener: Listener) -> None:
    device = sim_device(f"sim://grbl?record={tmp_path}/r.jsonl")
    await device.open(listener)
    device.write(b"?")
    await listener.until(b"<Idle")
    await device.close()
    assert '"rx": "3f"' in (tmp_path / "r.jsonl").read_text()


async def test_a_record_that_cannot_be_written_is_a_device_error(tmp_path: Path) -> None:
    device = sim_device(f"sim://grbl?record={tmp_path}/no/r.jsonl")
    with pytest.raises(DeviceError, match=r"no/r\.jsonl"):
        await device.open(Listener())
