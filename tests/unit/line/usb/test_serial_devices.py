"""USB serial devices are listed, and found by their ids."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from serial.tools import list_ports

from fakes.unplugging import unplugged_while_listed
from usbshare.base.errors import ConfigError, DeviceError
from usbshare.line.usb import serial_devices
from usbshare.line.usb.serial_devices import (
    SerialDeviceFound,
    UsbName,
    list_serial_devices,
    parse_usb_name,
    path_of,
)


def found(
    path: str, vid: int = 0x1A86, pid: int = 0x7523, serial: str | None = None
) -> SerialDeviceFound:
    return SerialDeviceFound(path, None, vid, pid, serial, None, None, "USB Serial")


@dataclass(frozen=True, order=True)
class ListedPort:
    device: str
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    product: str | None = None
    description: str = "n/a"
    location: str | None = None


@pytest.mark.parametrize("name", ["usb:", "usb:1a86", "usb:xyz:7523", "usb:1a86:75230", "usb:1:2:"])
def test_a_malformed_usb_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="usb:VID:PID"):
        parse_usb_name(name)


def test_ids_are_hexadecimal_in_any_case() -> None:
    assert parse_usb_name("USB:1A86:7523") == parse_usb_name("usb:1a86:7523")
    assert parse_usb_name("usb:403:6001:A1:b") == UsbName(0x403, 0x6001, "A1:b")


def test_the_one_device_with_these_ids_is_found() -> None:
    devices = [found("/dev/ttyUSB0"), found("/dev/ttyACM0", vid=0x2341)]
    assert path_of(parse_usb_name("usb:1a86:7523"), devices) == "/dev/ttyUSB0"


def test_a_serial_number_distinguishes_identical_devices() -> None:
    devices = [found("/dev/ttyUSB0", serial="AAA"), found("/dev/ttyUSB1", serial="BBB")]
    assert path_of(parse_usb_name("usb:1a86:7523:bbb"), devices) == "/dev/ttyUSB1"


def test_identical_devices_without_a_serial_number_are_listed() -> None:
    devices = [found("/dev/ttyUSB0", serial="AAA"), found("/dev/ttyUSB1")]
    with pytest.raises(DeviceError, match="several") as caught:
        path_of(parse_usb_name("usb:1a86:7523"), devices)
    assert "1a86:7523:AAA at /dev/ttyUSB0, 1a86:7523 at /dev/ttyUSB1" in str(caught.value)


def test_an_absent_device_is_named_with_what_is_there_instead() -> None:
    with pytest.raises(DeviceError) as caught:
        path_of(parse_usb_name("usb:1a86:7523"), [found("/dev/ttyACM0", vid=0x2341, pid=0x43)])
    assert str(caught.value) == (
        "no USB serial device 1a86:7523 is plugged in (plugged in: 2341:0043 at /dev/ttyACM0)"
    )


def test_only_usb_devices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [
        ListedPort("/dev/ttyUSB1", 0x1A86, 0x7523),
        ListedPort("/dev/ttyS0"),
        ListedPort("/dev/ttyUSB0", 0x0403, 0x6001, "A1"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    assert [device.path for device in list_serial_devices()] == ["/dev/ttyUSB0", "/dev/ttyUSB1"]


def test_a_device_that_is_unplugged_while_it_is_listed_costs_no_other_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pyserial's SysFS makes a number of an id that it could not read: None."""
    asked = 0

    def comports() -> list[ListedPort]:
        nonlocal asked
        asked += 1
        gone = None if asked == 1 else "1a86"
        return [ListedPort("/dev/ttyUSB1", int(gone, 16), 0x7523)]  # type: ignore[arg-type]

    (tmp_path / "by-id").mkdir()
    monkeypatch.setattr(list_ports, "comports", comports)
    monkeypatch.setattr(serial_devices, "_BY_ID", tmp_path / "by-id")
    unplugged_while_listed(monkeypatch, "by-id")
    assert [each.path for each in list_serial_devices()] == ["/dev/ttyUSB1"]


@pytest.mark.skipif(sys.platform == "win32", reason="links as Linux makes them")
def test_the_stable_path_is_reported_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-laser").symlink_to(device)
    monkeypatch.setattr(serial_devices, "_BY_ID", by_id)
    ports = [ListedPort(str(device), 1, 2), ListedPort("/dev/ttyUSB9", 1, 2)]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    links = {each.path: each.by_id_path for each in list_serial_devices()}
    assert links == {str(device): str(by_id / "usb-laser"), "/dev/ttyUSB9": None}
