"""Real devices as `lsusb -v` shows them: read, served, and each used or refused as it should be."""

from __future__ import annotations

import pytest

from fakes.lsusb import CAPTURES, capture, capture_names, parse_lsusb
from fakes.usbip_device import FakeAcmDevice, FakeDevice
from fakes.usbip_server import usbip_server
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.line.settings import LineSettings, ModemLines
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.source import parse_source
from usbshare.usbip.cdc import AcmCapability, acm_functions
from usbshare.usbip.client import connect
from usbshare.usbip.descriptors import parse_configuration, parse_device

PORTS = {
    "arduino_uno_r3": [(1, 0, 0x83, 0x04)],
    "g_serial_acm": [(2, 0, 0x81, 0x01)],
    "teensy41_grblhal": [(1, 0, 0x84, 0x03)],
    "teensy41_dual_serial": [(1, 0, 0x83, 0x03), (1, 2, 0x85, 0x05)],
}
REFUSALS = {
    "ch340": "is a CH340 adapter (1a86:7523)",
    "cp2102": "is a CP210x adapter (10c4:ea60)",
    "ft232r": "is a FTDI adapter (0403:6001)",
    "keyboard": "has no CDC-ACM serial port (classes of its interfaces: 03)",
    "webcam": "has no CDC-ACM serial port (classes of its interfaces: 0e)",
}


class Listener:
    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data

    def writable(self) -> None: ...

    def lines_changed(self, lines: ModemLines) -> None: ...

    def device_lost(self, reason: str) -> None: ...


def test_every_capture_is_tested_here() -> None:
    assert capture_names() == sorted([*PORTS, *REFUSALS])


@pytest.mark.parametrize("name", capture_names())
def test_a_capture_is_read_whole_and_made_again(name: str) -> None:
    model = capture(name)
    assert parse_device(model.device.encode()) == model.device
    for configuration in model.configurations:
        assert parse_configuration(configuration.encode()) == configuration


@pytest.mark.parametrize("name", capture_names())
def test_the_serial_ports_of_a_device_are_found(name: str) -> None:
    found = [
        (p.configuration, p.control_interface, p.bulk_in.address, p.bulk_out.address)
        for configuration in capture(name).configurations
        for p in acm_functions(configuration)
    ]
    assert found == PORTS.get(name, [])


def test_the_capabilities_of_a_device_are_read() -> None:
    (gadget,) = acm_functions(capture("g_serial_acm").configurations[0])
    assert gadget.capabilities == AcmCapability.LINE_CODING
    (uno,) = acm_functions(capture("arduino_uno_r3").configurations[0])
    assert uno.capabilities == AcmCapability.LINE_CODING | AcmCapability.SEND_BREAK


def test_a_capture_whose_lengths_do_not_agree_is_refused() -> None:
    text = (CAPTURES / "ch340.txt").read_text().replace("0x0027", "0x0026")
    with pytest.raises(ValueError, match="wTotalLength 38 is not that of what follows, 39"):
        parse_lsusb(text)


@pytest.mark.parametrize("name", PORTS)
async def test_each_port_is_used_in_its_own_configuration(name: str) -> None:
    fake = FakeAcmDevice(capture(name), "1-1")
    fake.echoes = True
    async with usbip_server(fake) as server:
        which = "#0" if len(PORTS[name]) > 1 else ""
        source = parse_source(f"usbip://127.0.0.1:{server.port}/1-1{which}")
        device, listener = UsbipDevice(source, LineSettings()), Listener()
        await device.open(listener)
        assert device.write(b"?" * 60) == 60
        await until(lambda: listener.data == b"?" * 60)
        assert fake.configuration == PORTS[name][0][0]
        await device.close()


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_device_without_such_a_port_is_refused_with_a_reason(name: str) -> None:
    async with usbip_server(FakeDevice(capture(name), "1-1")) as server:
        source = parse_source(f"usbip://127.0.0.1:{server.port}/1-1")
        with pytest.raises(DeviceError) as refused:
            await UsbipDevice(source, LineSettings()).open(Listener())
        assert REFUSALS[name] in str(refused.value)


async def test_a_bus_full_of_devices_is_listed_as_it_is() -> None:
    names = [*capture_names(), "ch340", "arduino_uno_r3"]
    fakes = [FakeDevice(capture(name), f"1-{n}", n + 1) for n, name in enumerate(names, 1)]
    async with usbip_server(*fakes) as server:
        listed = await (await connect("127.0.0.1", server.port)).devices()
    assert listed == tuple(each.exported for each in fakes)
    twins = [each for each in listed if (each.vid, each.pid) == (0x1A86, 0x7523)]
    assert [each.busid for each in twins] == ["1-2", f"1-{len(names) - 1}"]
