"""Which device a port's source gives, and which sources are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from serial.tools import list_ports

from usbshare.base.errors import ConfigError, DeviceError
from usbshare.line.device_id_file import KnownDevices
from usbshare.line.settings import Device, LineSettings, ModemLines
from usbshare.line.threaded.device import ThreadedDevice
from usbshare.line.usbip.device import UsbipDevice
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.device_guard import PortGuard
from usbshare.serial_svc.ports.sources import check_source, device_maker


class Listener:
    def data_received(self, data: bytes) -> None: ...

    def writable(self) -> None: ...

    def lines_changed(self, lines: ModemLines) -> None: ...

    def device_lost(self, reason: str) -> None: ...


def device_of(source: str, folder: Path) -> Device:
    config = PortConfig("laser", source)
    return device_maker(config, PortGuard(config, KnownDevices(folder)))(LineSettings())


@pytest.mark.parametrize("source", ["socket://host:4000", "rfc2217://host:2217", "loop://", "COM3"])
def test_a_url_or_a_windows_name_is_opened_with_threads(source: str, tmp_path: Path) -> None:
    assert isinstance(device_of(source, tmp_path), ThreadedDevice)


@pytest.mark.parametrize("source", ["/dev/ttyUSB0", "/dev/serial/by-id/laser", "usb:1a86:7523"])
def test_a_plain_name_is_opened_as_the_system_does_it(source: str, tmp_path: Path) -> None:
    is_threaded = isinstance(device_of(source, tmp_path), ThreadedDevice)
    assert is_threaded is (sys.platform == "win32")


@pytest.mark.parametrize("source", ["usbip://pi4/1-1", "USBIP://pi4:4000/2341:0043:85734"])
def test_a_device_of_another_computer_needs_no_driver(source: str, tmp_path: Path) -> None:
    assert isinstance(device_of(source, tmp_path), UsbipDevice)


def test_a_simulated_machine_lives_on() -> None:
    config = PortConfig("laser", "sim://grbl")
    make = device_maker(config, PortGuard(config, KnownDevices(Path("nowhere"))))
    assert make(LineSettings()) is make(LineSettings())


async def test_usb_ids_are_looked_up_when_the_device_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = device_of("usb:1a86:7523", tmp_path)
    monkeypatch.setattr(list_ports, "comports", list)
    with pytest.raises(DeviceError, match=r"1a86:7523 is plugged in \(plugged in: none\)"):
        await device.open(Listener())


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("http://host", "scheme http:// is not one of"),
        ("sim://toaster", "toaster"),
        ("usb:1a86", "is not usb:VID:PID"),
        ("usbip://pi4", "is not usbip://host"),
        ("usbip://pi4:99999/1-1", "99999"),
    ],
)
def test_a_source_without_a_device_is_refused(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_source(source)
