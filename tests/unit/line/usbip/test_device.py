"""A serial port behind a USB/IP server: bytes, settings, lines, and all that goes wrong."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from fakes.usbip_device import FakeAcmDevice
from fakes.usbip_models import acm_model
from fakes.usbip_port import Listener, device_of, opened, refused
from fakes.usbip_server import usbip_server
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    NotSupportedError,
)
from usbshare.line.settings import (
    Completion,
    LineCounts,
    LineSettings,
    ModemLines,
    Parity,
)
from usbshare.line.usbip import acm_port
from usbshare.line.usbip.send_window import LEAST_BYTES
from usbshare.usbip.cdc import (
    AcmCapability,
    CdcRequest,
    ControlLines,
    LineCoding,
    SerialState,
    acm_descriptors,
)
from usbshare.usbip.imported import ImportedDevice


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_bytes_pass_both_ways() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        assert device.write(b"G0 X1\n") == 6
        assert device.unsent_bytes() == 6
        await until(lambda: fake.received_bytes == b"G0 X1\n")
        assert await device.drain(5) is Completion.OK
        for part in (b"o", b"k\r", b"\n"):
            fake.say(part)
        await until(lambda: listener.data == b"ok\r\n")


async def test_a_port_opens_with_its_settings_and_lines_raised() -> None:
    fake = FakeAcmDevice(acm_model())
    settings = LineSettings(250000, 7, Parity.EVEN, 2)
    async with opened(fake, settings=settings) as (device, _, __):
        assert fake.coding == LineCoding(250000, 2, 2, 7)
        assert fake.lines == ControlLines.DTR | ControlLines.RTS
        assert device.settings == settings
        assert device.lines() == ModemLines(dtr=True, rts=True, counts=LineCounts())
        done = await device.configure(LineSettings(9600, 8, Parity.MARK, 1.5))
        assert fake.coding == LineCoding(9600, 1, 3, 8)
        assert device.settings == done


async def test_lines_stay_low_where_that_is_configured() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake, dtr=False) as (device, _, __):
        assert fake.lines == int(ControlLines.RTS)
        await device.set_lines(dtr=True, rts=False)
        assert fake.lines == int(ControlLines.DTR)
        assert device.lines() == ModemLines(dtr=True, rts=False, counts=LineCounts())


async def test_changes_of_lines_and_a_break_keep_their_order() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, _, __):
        fake.log.clear()
        device.set_lines(dtr=False)
        device.set_lines(rts=False)
        device.set_break(on=True)
        await device.set_break(on=False)
        assert [(each.request, each.value) for each in fake.log] == [
            (CdcRequest.SET_CONTROL_LINE_STATE, 2),
            (CdcRequest.SET_CONTROL_LINE_STATE, 0),
            (CdcRequest.SEND_BREAK, 0xFFFF),
            (CdcRequest.SEND_BREAK, 0),
        ]


async def test_the_devices_lines_are_pushed_and_faults_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        assert device.lines().counts == LineCounts()  # known before the first event
        fake.tell(SerialState.DCD | SerialState.RING)
        await until(lambda: len(listener.lines) == 1)
        lines = replace(device.lines(), counts=None)
        assert lines == ModemLines(None, dsr=False, ri=True, cd=True, dtr=True, rts=True)
        fake.tell(SerialState.DCD | SerialState.RING | SerialState.OVERRUN | SerialState.BREAK)
        await until(lambda: "reports OVERRUN (1 so far)" in caplog.text)
        assert "reports BREAK (1 so far)" in caplog.text
        assert listener.lines[1].counts == LineCounts(breaks=1, overruns=1)


async def test_bytes_that_the_device_has_not_taken_are_bounded_and_counted() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.takes.clear()
        taken = sum(device.write(b"x" * 20) for _ in range(40))
        assert taken == device.unsent_bytes() == LEAST_BYTES // 20 * 20
        realtime = sum(device.write(b"?") for _ in range(40))
        assert realtime == 2 * acm_port.MOST_WRITES - 3
        assert await device.drain(0.05) is Completion.TIMEOUT
        fake.takes.set()
        await until(lambda: listener.rooms == 1)
        assert await device.drain(5) is Completion.OK


async def test_a_flush_takes_back_what_was_not_taken_and_a_stop_comes_next() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.takes.clear()
        for number in range(40):
            device.write(b"G1 X%d\n" % number)
        await asyncio.sleep(0)
        device.discard_output()
        assert device.unsent_bytes() == 0
        assert device.write(b"\x18") == 1
        assert device.unsent_bytes() == 1
        await device.configure(device.settings)  # the server has read all that
        fake.takes.set()
        assert await device.drain(5) is Completion.OK
        assert fake.received_bytes == b"\x18"
        assert listener.rooms == 1


async def test_a_pause_makes_the_device_wait_and_loses_nothing() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        device.pause_reading()
        sent = [b"%d\n" % number for number in range(50)]
        for each in sent:
            fake.say(each)
        await device.configure(device.settings)  # all that can have come has come
        assert listener.data == b""
        assert fake.waiting_packets(fake.port.bulk_in.number) >= len(sent) - acm_port.READS
        device.resume_reading()
        await until(lambda: listener.data == b"".join(sent))


async def test_discarded_input_is_not_delivered() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        device.pause_reading()
        fake.say(b"old")
        await device.configure(device.settings)
        device.discard_input()
        device.resume_reading()
        fake.say(b"new")
        await until(lambda: listener.data == b"new")


async def test_a_halted_endpoint_is_cleared_and_goes_on() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (_, listener, __):
        fake.halt(fake.port.bulk_in.address)
        await until(lambda: not fake.stalls)
        fake.say(b"alive")
        await until(lambda: listener.data == b"alive")


async def test_an_endpoint_that_stalls_for_ever_is_a_lost_device() -> None:
    fake = FakeAcmDevice(acm_model())
    fake.is_broken = True
    async with opened(fake) as (_, listener, __):
        fake.halt(fake.port.bulk_in.address)
        await until(lambda: len(listener.lost) == 1)
        assert "stalls repeatedly" in listener.lost[0]


class Miscounting(FakeAcmDevice):
    """Says of each write that it took another number of bytes."""

    said = 0

    async def write(self, endpoint: int, data: bytes) -> int:
        await super().write(endpoint, data)
        return self.said


async def test_a_server_that_counts_no_written_bytes_is_believed_that_they_are_taken() -> None:
    # The transfer ended well, and USB knows no other good end of an OUT than with all of it.
    fake = Miscounting(acm_model())
    async with opened(fake) as (device, listener, _):
        device.write(b"G0\n")
        assert await device.drain(5) is Completion.OK
        assert listener.lost == []


async def test_a_write_that_was_taken_in_part_is_a_lost_device() -> None:
    fake = Miscounting(acm_model())
    fake.said = 2
    async with opened(fake) as (device, listener, _):
        device.write(b"G0\n")
        await until(lambda: len(listener.lost) == 1)
        assert "it took 2 of 3 bytes" in listener.lost[0]


@pytest.mark.parametrize("how", ["stop", "drop"])
async def test_a_lost_server_is_reported_with_the_bytes_in_transit(how: str) -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, server):
        fake.takes.clear()
        device.write(b"G1 X1\n")
        await getattr(server, how)()
        await until(lambda: len(listener.lost) == 1)
        assert listener.lost[0].endswith("6 bytes were in transit")
        await device.close()
        assert len(listener.lost) == 1


async def test_a_server_that_falls_silent_is_noticed_by_what_it_does_not_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acm_port, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(acm_port, "ANSWER_TIMEOUT_S", 0.1)
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.takes.clear()
        device.write(b"waits for its machine")
        await until(lambda: [each.request for each in fake.log].count(0) > 3)
        assert listener.lost == []  # a device may wait as long as it likes
        fake.is_frozen = True
        await until(lambda: len(listener.lost) == 1)
        assert "the server is silent; 21 bytes" in listener.lost[0]


async def test_a_link_on_which_nothing_is_heard_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acm_port, "LOOK_EVERY_S", 0.02)
    silence_s = [3.9]
    monkeypatch.setattr(ImportedDevice, "silent_s", property(lambda _: silence_s[0]))
    async with opened(FakeAcmDevice(acm_model())) as (_, listener, __):
        await asyncio.sleep(0.1)  # several looks
        assert listener.lost == []
        silence_s[0] = 4.1
        await until(lambda: len(listener.lost) == 1)
        assert "the server has been silent for 4 s" in listener.lost[0]


async def test_a_request_without_an_answer_is_a_lost_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acm_port, "ANSWER_TIMEOUT_S", 0.05)
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.is_frozen = True
        with pytest.raises(DeviceError):
            await device.set_lines(dtr=False)
        assert listener.lost


async def test_the_configuration_is_the_descriptors_own() -> None:
    # A g_serial's is 2 (drivers/usb/gadget/legacy/serial.c, GS_CDC_CONFIG_ID).
    fake = FakeAcmDevice(acm_model(value=2))
    async with opened(fake):
        chosen = [each.value for each in fake.log if (each.request_type, each.request) == (0, 9)]
        assert chosen == [2]


async def test_a_missing_device_is_absent_and_not_failed() -> None:
    async with usbip_server(FakeAcmDevice(acm_model())) as server:
        error = await refused(server, "1-9")
        assert isinstance(error, DeviceAbsentError)
        assert "exports no device 1-9, or it is in use (exported: 1-1 2341:0043)" in str(error)
        await server.stop()
        error = await refused(server, "1-1")
        assert isinstance(error, DeviceAbsentError)
        assert "cannot be reached" in str(error)


async def test_a_device_without_a_line_opens_and_refuses_what_it_has_not() -> None:
    model = acm_model()
    (one,) = model.configurations
    control, data = one.interfaces
    bare = replace(control, extra=acm_descriptors(0, 1, AcmCapability(0)))
    fake = FakeAcmDevice(replace(model, configurations=(replace(one, interfaces=(bare, data)),)))
    fake.has_line = False
    async with opened(fake) as (device, _, __):
        with pytest.raises(NotSupportedError):
            await device.configure(LineSettings(9600))
        with pytest.raises(NotSupportedError):
            device.set_break(on=True)
        assert device.settings == LineSettings()


async def test_closing_gives_the_device_back() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, server):
        assert list(server.attached) == ["1-1"]
        await device.close()
        await until(lambda: not server.attached)
        assert listener.lost == []
        await device.open(listener)
        device.write(b"again")
        await until(lambda: fake.received_bytes == b"again")


async def test_a_hundred_losses_leave_nothing_behind() -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        device, listener = device_of(server, "1-1"), Listener()

        async def lost_once() -> None:
            before = len(listener.lost)
            await device.open(listener)
            fake.takes.clear()
            device.write(b"on its way")
            await server.drop()
            await until(lambda: len(listener.lost) > before)
            await device.close()
            fake.takes.set()

        await lost_once()
        tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
        for _ in range(100):
            await lost_once()
        assert len(asyncio.all_tasks()) <= tasks
        assert open_descriptors() <= descriptors
        assert server.attaches == 101


async def test_a_cancelled_opening_gives_the_device_back() -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        for steps in range(1, 60, 3):
            device = device_of(server, "1-1")
            opening = asyncio.create_task(device.open(Listener()))
            for _ in range(steps):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await device.close()
            await until(lambda: not server.attached)
