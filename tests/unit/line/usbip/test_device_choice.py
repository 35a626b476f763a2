"""Which device of a USB/IP server a port opens, and which it refuses."""

from __future__ import annotations

import time

import pytest

from fakes.lsusb import capture
from fakes.usbip_device import FakeAcmDevice, FakeDevice, Model
from fakes.usbip_models import acm_model
from fakes.usbip_port import Listener, device_of, opened, refused
from fakes.usbip_server import usbip_server
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    InvalidArgumentError,
)
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.settings import (
    FlowControl,
    LineSettings,
)
from usbshare.line.usbip.seen import SeenDevices
from usbshare.usbip.cdc import (
    acm_descriptors,
)
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)


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


async def test_a_write_that_is_refused_is_a_lost_device_not_a_lost_line() -> None:
    fake = FakeAcmDevice(acm_model())
    async with opened(fake) as (device, listener, _):
        fake.halt(fake.port.bulk_out.address)
        device.write(b"G0\n")
        await until(lambda: len(listener.lost) == 1)
        assert "writing ended with EPIPE" in listener.lost[0]
        with pytest.raises(DeviceError, match="is not open"):
            device.write(b"x")


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
        assert "no serial port #7; it has #0 or #2" in str(await refused(server, "1-1#7"))
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
