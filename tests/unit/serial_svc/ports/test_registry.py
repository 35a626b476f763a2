"""Ports that come and go: ids, hot-plug, presence."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from usbshare.line.device_id_file import KnownDevices
from usbshare.line.device_ids import DeviceNames
from usbshare.line.usb.serial_devices import SerialDeviceFound
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.ports import registry as registry_module
from usbshare.serial_svc.ports.changes import Change
from usbshare.serial_svc.ports.ids import name_devices
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Mode

LIMITS = QueueLimits()


def device(path: str, vid: int = 0x1A86, serial: str | None = None) -> SerialDeviceFound:
    return SerialDeviceFound(path, None, vid, 0x7523, serial, "QinHeng", "CH340", "USB Serial")


class Sockets:
    """What is plugged in, as the registry sees it."""

    def __init__(self) -> None:
        self.devices: list[SerialDeviceFound] = []

    def __call__(self) -> list[SerialDeviceFound]:
        return list(self.devices)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Sockets:
    made = Sockets()
    monkeypatch.setattr(registry_module, "list_serial_devices", made)
    return made


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry(time.monotonic)
    yield made
    await made.close()


@pytest.fixture
def pty_path() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_ids_are_made_of_the_usb_identity_never_of_the_path() -> None:
    devices = [device("/dev/ttyUSB7", serial="A B/1"), device("/dev/ttyUSB3")]
    named = name_devices(devices, DeviceNames(KnownDevices()))
    assert [port_id for port_id, _ in named] == ["1a86-7523", "1a86-7523-a-b-1"]


def test_indistinguishable_devices_are_not_offered() -> None:
    twins = [device("/dev/ttyUSB0"), device("/dev/ttyUSB1")]
    assert name_devices(twins, DeviceNames(KnownDevices())) == []


async def test_a_device_is_offered_while_it_is_plugged_in(
    registry: Registry, sockets: Sockets
) -> None:
    watch = registry.watch()
    sockets.devices = [device("/dev/ttyUSB0", serial="X1")]
    await registry.scan(LIMITS)
    change, port = await anext(watch)
    assert (change, port.id) == (Change.EXISTING, "1a86-7523-x1")
    assert port.usb is not None
    assert (port.usb.vendor_id, port.usb.serial_number) == (0x1A86, "X1")
    sockets.devices = []
    await registry.scan(LIMITS)
    gone = [anext(watch)]
    change, port = await gone[0]
    while change is Change.UPDATED:
        change, port = await anext(watch)
    assert (change, port.id) == (Change.REMOVED, "1a86-7523-x1")
    assert registry.ports == []


async def test_configured_ports_stay_and_show_whether_they_are_present(
    registry: Registry, sockets: Sockets, tmp_path: Path, pty_path: str
) -> None:
    link = tmp_path / "laser"
    port = registry.add(PortConfig("laser", str(link)))
    usb = registry.add(PortConfig("usb", "usb:1a86:7523"))
    await registry.scan(None)
    assert [p.describe().state for p in (port, usb)] == [PortState.ABSENT, PortState.ABSENT]
    link.symlink_to(pty_path)
    sockets.devices = [device("/dev/ttyUSB0")]
    await registry.scan(None)
    assert [p.describe().state for p in (port, usb)] == [PortState.AVAILABLE, PortState.AVAILABLE]
    assert [p.id for p in registry.ports] == ["laser", "usb"]


async def test_an_open_port_is_open_whatever_a_scan_sees(
    registry: Registry, sockets: Sockets, tmp_path: Path, pty_path: str
) -> None:
    link = tmp_path / "laser"
    link.symlink_to(pty_path)
    port = registry.add(PortConfig("laser", str(link)))
    await port.open_session(Client("s", "id", "test", "peer", Mode.OBSERVE))
    link.unlink()
    await registry.scan(None)
    assert port.describe().state is PortState.OPEN


async def test_a_port_that_was_unplugged_and_comes_back_is_still_latched(
    registry: Registry, sockets: Sockets
) -> None:
    sockets.devices = [device("/dev/ttyUSB0", serial="X1"), device("/dev/ttyUSB1", serial="X2")]
    await registry.scan(LIMITS)
    port = registry.get("1a86-7523-x1")
    port.line.latch.set("bob", "smoke")
    epoch = port.line.latch.epoch
    sockets.devices = [device("/dev/ttyUSB1", serial="X2")]
    await registry.scan(LIMITS)
    assert [each.id for each in registry.ports] == ["1a86-7523-x2"]
    sockets.devices = [device("/dev/ttyUSB0", serial="X1"), device("/dev/ttyUSB1", serial="X2")]
    await registry.scan(LIMITS)
    again = registry.get("1a86-7523-x1")
    assert again is not port
    assert again.line.latch.is_set
    assert again.line.latch.epoch >= epoch
    assert not registry.get("1a86-7523-x2").line.latch.is_set
