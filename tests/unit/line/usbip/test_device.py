"""A serial port behind a USB/IP server: bytes, settings, lines, and all that goes wrong."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fakes.lsusb import capture
from fakes.usbip_device import FakeAcmDevice, FakeDevice, Model
from fakes.usbip_models import acm_model
from fakes.usbip_server import FakeServer, usbip_server
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
)
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.settings import (
    Completion,
    FlowControl,
    LineCounts,
    LineSettings,
    ModemLines,
    Parity,
)
from usbshare.line.usbip import acm_port
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.seen import SeenDevices
from usbshare.line.usbip.send_window import LEAST_BYTES
from usbshare.line.usbip.source import parse_source
from usbshare.usbip.cdc import (
    AcmCapability,
    CdcRequest,
    ControlLines,
    LineCoding,
    SerialState,
    acm_descriptors,
)
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)
from usbshare.usbip.imported import ImportedDevice


class Listener:
    def __init__(self) -> None:
        self.data = b""
        self.lines: list[ModemLines] = []
        self.lost: list[str] = []
        self.rooms = 0

    def data_received(self, data: bytes) -> None:
        self.data += data

    def writable(self) -> None:
        self.rooms += 1

    def lines_changed(self, lines: ModemLines) -> None:
        self.lines.append(lines)

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Admission:
    """Remembers what it was asked; refuses with a reason if it has one."""

    def __init__(self, expected: PhysicalDevice | None = None, refusal: str = "") -> None:
        self.seen: list[PhysicalDevice] = []
        self._expected = expected
        self._refusal = refusal

    def expected(self) -> PhysicalDevice | None:
        return self._expected

    def admit(self, name: str, found: PhysicalDevice) -> None:
        self.seen.append(found)
        if self._refusal:
            raise DeviceError(f"{name}: {self._refusal}")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def device_of(server: FakeServer, name: str, **options: object) -> UsbipDevice:
    source = parse_source(f"usbip://127.0.0.1:{server.port}/{name}")
    settings = options.pop("settings", LineSettings())
    return UsbipDevice(source, settings, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    fake: FakeAcmDevice, **options: object
) -> AsyncIterator[tuple[UsbipDevice, Listener, FakeServer]]:
    async with usbip_server(fake) as server:
        device, listener = device_of(server, fake.busid, **options), Listener()
        await device.open(listener)
        try:
            yield device, listener, server
        finally:
            await device.close()


async def refused(server: FakeServer, name: str, **options: object) -> DeviceError:
    device = device_of(server, name, **options)
    with pytest.raises(DeviceError) as refusal:
        await device.open(Listener())
    await device.close()
    await until(lambda: not server.attached)
    return refusal.value


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


async def test_what_the_device_has_not_taken_is_bounded_and_known() -> None:
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


async def test_a_write_that_is_refused_is_a_lost_device_not_a_lost_line() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.halt(fake.port.bulk_out.address)
        device.write(b"G0\n")
        await until(lambda: len(listener.lost) == 1)
        assert "writing ended with EPIPE" in listener.lost[0]
        with pytest.raises(DeviceError, match="is not open"):
            device.write(b"x")


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


def two_ports() -> Model:
    one = acm_model().configurations[0].interfaces
    control = InterfaceDescriptor(
        *(2, 2, 2, 1),
        extra=acm_descriptors(2, 3),
        endpoints=(EndpointDescriptor(0x85, 3, 8, 16),),
    )
    ends = (EndpointDescriptor(0x06, 2, 64), EndpointDescriptor(0x87, 2, 64))
    data = InterfaceDescriptor(3, 0x0A, endpoints=ends)
    device = DeviceDescriptor(0x16C0, 0x048B, 0xEF, 2, 1)
    return Model(device, (ConfigurationDescriptor(1, (*one, control, data)),))


async def test_of_several_ports_one_has_to_be_named() -> None:
    fake = FakeAcmDevice(two_ports())
    async with usbip_server(fake) as server:
        assert "1-1 has 2 serial ports: add #0 or #2" in str(await refused(server, "1-1"))
        assert "no serial port #7, but #0 or #2" in str(await refused(server, "1-1#7"))
        admission = Admission()
        device = device_of(server, "1-1#2", admission=admission)
        await device.open(Listener())
        device.write(b"second")
        await until(lambda: bytes(fake.written[6]) == b"second")
        assert admission.seen[0].interface == "2"
        await device.close()


async def test_identical_devices_are_refused_by_their_bus_ids() -> None:
    twins = [FakeAcmDevice(acm_model(), f"1-1.{n}", 4 + n) for n in (1, 2)]
    async with usbip_server(*twins) as server:
        text = str(await refused(server, "2341:0043"))
        assert "2 devices of 127.0.0.1" in text
        at = f"usbip://127.0.0.1:{server.port}"
        assert f"name one by its bus id: {at}/1-1.1 or {at}/1-1.2" in text
        assert server.attaches == 0
        expected = PhysicalDevice(0x2341, 0x43, "", f"127.0.0.1:{server.port}/1-1.2")
        device = device_of(server, "2341:0043", admission=Admission(expected))
        await device.open(Listener())
        assert list(server.attached) == ["1-1.2"]
        await device.close()


async def test_a_serial_number_distinguishes_identical_devices() -> None:
    twins = [FakeAcmDevice(acm_model(f"A{n}"), f"1-1.{n}", 4 + n) for n in (1, 2)]
    async with usbip_server(*twins) as server:
        admission = Admission()
        device = device_of(server, "2341:0043:a2", admission=admission)
        await device.open(Listener())
        place = f"127.0.0.1:{server.port}/1-1.2"
        assert admission.seen == [PhysicalDevice(0x2341, 0x43, "A2", place)]
        await device.close()
        text = str(await refused(server, "2341:0043:A3"))
        assert "exports no free device 2341:0043:A3" in text


async def test_the_device_that_the_port_had_is_looked_at_first_since_others_may_be_reset() -> None:
    twins = [FakeAcmDevice(acm_model(f"A{n}"), f"1-1.{n}", 4 + n) for n in (1, 2, 3)]
    async with usbip_server(*twins) as server:
        expected = PhysicalDevice(0x2341, 0x43, "A3", f"127.0.0.1:{server.port}/1-1.3")
        device = device_of(server, "2341:0043:A3", admission=Admission(expected))
        await device.open(Listener())
        assert server.attaches == 1
        await device.close()


async def test_a_board_that_is_not_meant_is_attached_once_however_often_one_looks() -> None:
    # The kernel's server resets a device that is given back: each look would restart its machine.
    twins = [FakeAcmDevice(acm_model(f"A{n}"), f"1-1.{n}", 4 + n) for n in (1, 2)]
    async with usbip_server(*twins) as server:
        seen = SeenDevices(time.monotonic)
        for _ in range(5):
            text = str(await refused(server, "2341:0043:A3", seen=seen))
            assert "exports no free device 2341:0043:A3" in text
        assert server.attaches == 2
        replugged = FakeAcmDevice(acm_model("A3"), "1-1.1", 9)
        server.devices[0] = replugged
        device = device_of(server, "2341:0043:A3", seen=seen)
        await device.open(Listener())
        assert server.attaches == 3
        await device.close()


@pytest.mark.parametrize("why", ["another device", "no port", "a chip"])
async def test_a_device_that_is_refused_is_attached_once_at_most(why: str) -> None:
    fake: FakeDevice = FakeAcmDevice(acm_model("B"))
    if why == "no port":
        fake = FakeDevice(capture("keyboard"))
    elif why == "a chip":
        fake = FakeDevice(capture("ch340"))
    async with usbip_server(fake) as server:
        seen, admission = SeenDevices(time.monotonic), Admission(refusal="another device")
        told = {str(await refused(server, "1-1", seen=seen, admission=admission)) for _ in range(5)}
        assert len(told) == 1
        assert server.attaches == (0 if why == "a chip" else 1)


async def test_a_server_that_was_away_is_looked_at_anew() -> None:
    # It may give its numbers out again.
    fake = FakeAcmDevice(acm_model("B"))
    async with usbip_server(fake) as server:
        seen = SeenDevices(time.monotonic)
        await refused(server, "2341:0043:A", seen=seen)
        await server.stop()
        await refused(server, "2341:0043:A", seen=seen)
        server.devices[:] = [FakeAcmDevice(acm_model("A"))]
        await server.start()
        device = device_of(server, "2341:0043:A", seen=seen)
        await device.open(Listener())
        await device.close()


async def test_identical_devices_with_one_serial_number_are_refused() -> None:
    twins = [FakeAcmDevice(acm_model("0001"), f"1-1.{n}", 4 + n) for n in (1, 2)]
    async with usbip_server(*twins) as server:
        text = str(await refused(server, "2341:0043:0001"))
        assert "2 devices of 127.0.0.1" in text
        assert "1-1.1, 1-1.2" in text


async def test_another_device_is_refused_before_its_lines_move() -> None:
    fake = FakeAcmDevice(acm_model("B"))
    async with usbip_server(fake) as server:
        admission = Admission(refusal="this is another device")
        assert "another device" in str(await refused(server, "1-1", admission=admission))
        assert {each.request for each in fake.log} == {6}  # only descriptors were read


@pytest.mark.parametrize(
    ("vid", "pid", "chip"),
    [
        (0x0403, 0x6001, "FTDI"),
        (0x1A86, 0x7523, "CH340"),
        (0x10C4, 0xEA60, "CP210x"),
        (0x067B, 0x2303, "PL2303"),
    ],
)
async def test_a_chip_with_a_driver_of_its_own_is_named_with_the_remedy(
    vid: int, pid: int, chip: str
) -> None:
    ends = (EndpointDescriptor(0x81, 2, 64), EndpointDescriptor(0x02, 2, 64))
    only = InterfaceDescriptor(0, 0xFF, 0xFF, 0xFF, endpoints=ends)
    model = Model(DeviceDescriptor(vid, pid), (ConfigurationDescriptor(1, (only,)),))
    async with usbip_server(FakeDevice(model)) as server:
        text = str(await refused(server, "1-1"))
        assert f"1-1 is a {chip} adapter ({vid:04x}:{pid:04x})" in text
        assert f"`usbip attach -r 127.0.0.1:{server.port} -b 1-1`" not in text
        assert f"`usbip --tcp-port {server.port} attach -r 127.0.0.1 -b 1-1`" in text
        assert f"usb:{vid:04x}:{pid:04x}" in text


async def test_a_device_without_a_serial_port_is_refused_with_its_classes() -> None:
    keyboard = InterfaceDescriptor(0, 3, 1, 1, endpoints=(EndpointDescriptor(0x81, 3, 8, 10),))
    model = Model(DeviceDescriptor(0x046D, 0xC31C), (ConfigurationDescriptor(1, (keyboard,)),))
    async with usbip_server(FakeDevice(model)) as server:
        text = str(await refused(server, "1-1"))
        assert "1-1 (046d:c31c) has no CDC-ACM serial port (classes of its interfaces: 03)" in text


async def test_a_missing_device_is_absent_and_not_failed() -> None:
    async with usbip_server(FakeAcmDevice(acm_model())) as server:
        error = await refused(server, "1-9")
        assert isinstance(error, DeviceAbsentError)
        assert "exports no device 1-9, or it is in use (exported: 1-1 2341:0043)" in str(error)
        await server.stop()
        error = await refused(server, "1-1")
        assert isinstance(error, DeviceAbsentError)
        assert "cannot be reached" in str(error)


async def test_a_device_that_cannot_be_attached_says_so() -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        server.failing.add("1-1")
        error = await refused(server, "1-1")
        assert not isinstance(error, DeviceAbsentError)
        assert "1-1 is not exported, or is in use" in str(error)


async def test_flow_control_is_refused_with_a_reason() -> None:
    fake = FakeAcmDevice(acm_model())
    wanted = LineSettings(flow_control=FlowControl.RTS_CTS)
    async with usbip_server(fake) as server:
        assert "flow_control rts_cts" in str(await refused(server, "1-1", settings=wanted))
    async with opened(fake) as (device, _, __):
        with pytest.raises(InvalidArgumentError, match="flow_control rts_cts"):
            await device.configure(wanted)


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
