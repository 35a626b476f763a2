"""Devices that the policy does not allow are no ports; what it withdraws is let go at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.usb_host import UsbHost
from fakes.waiting import until
from usbshare.authorization.devices import Quarantine
from usbshare.authorization.policy import Policy
from usbshare.base.errors import DeviceError
from usbshare.base.file_watch import FileWatch
from usbshare.line.profiles import GRBL
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.ports import registry as registry_module
from usbshare.serial_svc.ports.quarantine import PortQuarantine
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Command, Mode

LIMITS = QueueLimits()
ALLOWED_LASER = {"vid": "1a86", "serial": "X1"}


class NoAudit:
    """Keeps nothing."""

    trouble = ""

    def note(self, event: str, **fields: Any) -> None: ...


class Host:
    """A host with a policy, and with USB adapters."""

    def __init__(self, usb: UsbHost) -> None:
        self.usb = usb
        self.policy = Policy(devices="listed")
        rule = Quarantine(lambda: self.policy, NoAudit(), "serial-svc", "serial port")
        self.registry = Registry(time.monotonic, quarantine=PortQuarantine(rule))

    def plug_in(self, serial: str = "X1", place: str = "1-1") -> str:
        """Return the node of a new adapter."""
        return self.usb.plug_in(place, serial).node

    def allow(self, *entries: dict[str, str]) -> None:
        """Allow these and no other."""
        self.policy = Policy.model_validate({"devices": "listed", "allowed_devices": list(entries)})
        self.registry.rules_changed()

    def received(self, path: str) -> bytes:
        """Return what came out at the device's end."""
        return next(each.received for each in self.usb.adapters if each.node == path)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    made = Host(UsbHost(tmp_path))
    made.usb.use(monkeypatch)
    yield made
    await made.registry.close()
    made.usb.close()


@pytest.fixture
def no_device() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def client(mode: Mode = Mode.OBSERVE) -> Client:
    return Client("s", "id", "test", "peer", mode)


async def test_only_listed_devices_are_offered(host: Host) -> None:
    host.plug_in("X1", "1-1")
    host.plug_in("X2", "1-2")
    host.allow(ALLOWED_LASER)
    await host.registry.scan(LIMITS)
    assert [port.id for port in host.registry.ports] == ["1a86-7523-x1"]


async def test_a_quarantined_identical_device_does_not_rename_the_allowed_one(host: Host) -> None:
    host.plug_in("", "1-1")
    host.plug_in("", "1-2")
    host.allow({"path": "1-2"})
    await host.registry.scan(LIMITS)
    before = [port.id for port in host.registry.ports]
    host.allow({"path": "1-1"}, {"path": "1-2"})
    await host.registry.scan(LIMITS)
    after = [port.id for port in host.registry.ports]
    assert after == ["1a86-7523-at-14.0-1", "1a86-7523-at-14.0-2"]
    assert set(before) < set(after)


@pytest.mark.parametrize("by_ids", [True, False])
async def test_a_configured_port_of_a_quarantined_device_says_why(host: Host, by_ids: bool) -> None:
    path = host.plug_in()
    port = host.registry.add(PortConfig("laser", "usb:1a86:7523" if by_ids else path))
    await host.registry.scan(None)
    seen = port.describe()
    assert seen.state is PortState.ABSENT
    assert seen.state_reason.startswith("quarantined: USB device 1a86:7523, serial number X1")
    host.allow(ALLOWED_LASER)
    await host.registry.scan(None)
    assert port.describe().state is PortState.AVAILABLE


@pytest.mark.parametrize("by_ids", [True, False])
async def test_a_quarantined_device_is_not_opened_even_before_a_scan(
    host: Host, by_ids: bool
) -> None:
    path = host.plug_in()
    port = host.registry.add(PortConfig("laser", "usb:1a86:7523" if by_ids else path))
    with pytest.raises(DeviceError, match="port 'laser': quarantined: USB device 1a86:7523"):
        await port.open_session(client())
    host.allow(ALLOWED_LASER)
    await port.open_session(client())
    assert port.line.is_open


async def test_a_device_that_is_no_usb_device_is_not_quarantined(
    host: Host, no_device: str
) -> None:
    port = host.registry.add(PortConfig("uart", no_device))
    await port.open_session(client())
    await host.registry.scan(None)
    assert port.describe().state is PortState.OPEN


@pytest.mark.parametrize("source", ["hwgrep://CH340", "spy:///dev/ttyUSB0", "cp2110://0001:0002"])
async def test_a_source_that_may_be_any_device_is_quarantined(host: Host, source: str) -> None:
    port = host.registry.add(PortConfig("laser", source))
    with pytest.raises(DeviceError, match="cannot tell which USB device"):
        await port.open_session(client())


@pytest.mark.parametrize("source", ["sim://grbl", "loop://"])
async def test_a_device_of_another_host_is_not_quarantined(host: Host, source: str) -> None:
    port = host.registry.add(PortConfig("laser", source))
    await port.open_session(client())
    await host.registry.scan(None)
    assert port.line.is_open


async def test_withdrawing_a_device_lets_go_of_it_as_if_it_was_unplugged(host: Host) -> None:
    path = host.plug_in()
    host.allow(ALLOWED_LASER)
    await host.registry.scan(LIMITS)
    (port,) = host.registry.ports
    session = await port.open_session(client(Mode.CONTROL))
    epoch = port.line.latch.epoch
    host.allow()
    await host.registry.scan(LIMITS)
    assert not port.line.is_open
    assert port.line.latch.epoch > epoch
    await until(lambda: port.line.keeper.reason.startswith("quarantined"))
    session.end("test")
    await host.registry.scan(LIMITS)
    assert host.registry.ports == []
    assert path in [each.node for each in host.usb.adapters]


async def test_a_device_that_is_allowed_again_is_available_again_to_waiting_sessions(
    host: Host,
) -> None:
    path = host.plug_in()
    port = host.registry.add(PortConfig("laser", path))
    host.allow(ALLOWED_LASER)
    await port.open_session(client())
    host.allow()
    await host.registry.scan(None)
    assert not port.line.is_open
    host.allow(ALLOWED_LASER)
    await until(lambda: port.line.is_open)


async def test_a_machine_at_work_is_stopped_before_its_device_is_withdrawn(host: Host) -> None:
    path = host.plug_in()
    port = host.registry.add(PortConfig("laser", path, profile=GRBL))
    host.allow(ALLOWED_LASER)
    session = await port.open_session(client(Mode.CONTROL))
    await session.command(Command(1, None, port.line.latch.epoch, 0, b"G1 X9\n"))
    await until(lambda: port.stops.machine.activity.is_active)
    host.allow()
    await host.registry.scan(None)
    assert not port.line.is_open
    await until(lambda: b"\x84" in host.received(path))


async def test_a_policy_change_is_acted_on_without_waiting_for_the_next_look(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "SCAN_INTERVAL_S", 3600.0)
    monkeypatch.setattr(registry_module, "QUIET_SCAN_INTERVAL_S", 3600.0)
    watch = FileWatch("files", look_s=3600.0)
    host.plug_in()
    await host.registry.scan(LIMITS)
    following = asyncio.create_task(host.registry.follow(LIMITS, watch))
    try:
        host.allow(ALLOWED_LASER)
        await until(lambda: host.registry.ports)
        host.allow()
        await until(lambda: not host.registry.ports)
    finally:
        watch.close()
        following.cancel()
