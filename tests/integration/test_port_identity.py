"""A port is one physical device: no link, order or name ever hands it to another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.usb_host import Adapter, UsbHost
from fakes.waiting import until
from usbshare.base.background_writer import Background
from usbshare.base.errors import DeviceError, NotFoundError
from usbshare.line.device_id_file import KnownDevices, forget
from usbshare.line.profiles import StopAction
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.stop.latch_file import LatchNotes, read_notes

LIMITS = QueueLimits()
MOVE = b"move 100\n"  # no G-code, lest a lost job has to be seen to first


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsbHost]:
    made = UsbHost(tmp_path / "host")
    made.use(monkeypatch)
    yield made
    made.close()


@asynccontextmanager
async def started(folder: Path, latches: Path | None = None) -> AsyncIterator[Registry]:
    """Run a registry as a service does from its start to its end."""
    background = Background("the state folder")
    known = KnownDevices(folder, background)
    known.load()
    latch_of = None
    if latches is not None:
        latch_of = LatchNotes(latches, "50051", read_notes(latches), background).of
    registry = Registry(time.monotonic, known=known, latch_of=latch_of)
    yield registry
    await registry.close()
    await asyncio.to_thread(background.close)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with started(tmp_path / "devices") as made:
        yield made


def client() -> Client:
    return Client("s", "id", "test", "peer", Mode.CONTROL)


async def moved(port: SerialPort, adapter: Adapter) -> None:
    """Move the machine on the adapter through the port."""
    before = len(adapter.received)
    session = await port.open_session(client())
    if port.line.latch.is_set:  # the job that its device was lost with
        port.stops.path.rearm("test", port.line.latch.epoch)
    await session.command(Command(1, None, port.line.latch.epoch, 0, MOVE))
    await until(lambda: MOVE in adapter.received[before:])
    session.end("test")


async def refused(port: SerialPort, match: str) -> None:
    with pytest.raises(DeviceError, match=match):
        await port.open_session(client())


@pytest.mark.parametrize("serial", ["", "0001"], ids=["no serial number", "the same one"])
async def test_of_identical_devices_the_one_that_stays_is_never_the_one_that_went(
    host: UsbHost, registry: Registry, serial: str
) -> None:
    a, b = host.plug_in("1-1", serial), host.plug_in("1-2", serial)
    await registry.scan(LIMITS)
    ports = {port.line.expected_device().socket: port for port in registry.ports}  # type: ignore[union-attr]
    of_a, of_b = ports["0000:00:14.0/1"], ports["0000:00:14.0/2"]
    await moved(of_a, a)
    await moved(of_b, b)
    await registry.scan(LIMITS)
    host.unplug(a)
    await until(lambda: not of_a.line.is_open)
    seen = len(b.received)
    await refused(of_a, "not plugged in")
    await moved(of_b, b)
    assert b.received[seen:].count(MOVE) == 1
    await registry.scan(LIMITS)
    with pytest.raises(NotFoundError, match="no port"):
        registry.get(of_a.id)


async def test_ids_do_not_depend_on_what_else_is_plugged_in_nor_on_the_order(
    host: UsbHost, tmp_path: Path
) -> None:
    async def ids(folder: str) -> dict[str, str]:
        async with started(tmp_path / folder) as registry:
            await registry.scan(LIMITS)
            return {port.line.expected_device().socket: port.id for port in registry.ports}  # type: ignore[union-attr]

    a = host.plug_in("1-1")
    alone = await ids("one")
    b = host.plug_in("1-2")
    both = await ids("two")
    host.unplug(a)
    host.unplug(b)
    host.plug_in("1-2")
    host.plug_in("1-1")
    assert await ids("three") == both
    assert both | alone == both
    assert sorted(both.values()) == ["1a86-7523-at-14.0-1", "1a86-7523-at-14.0-2"]


async def test_an_identical_device_plugged_in_does_not_rename_a_running_port(
    host: UsbHost, registry: Registry
) -> None:
    a = host.plug_in("1-1", "S1")
    await registry.scan(LIMITS)
    (port,) = registry.ports
    await moved(port, a)
    host.plug_in("1-2", "S1")
    await registry.scan(LIMITS)
    assert [each.id for each in registry.ports] == ["1a86-7523-s1", "1a86-7523-s1-at-14.0-2"]
    assert registry.get("1a86-7523-s1") is port
    await moved(port, a)


async def test_an_id_made_of_a_serial_number_stays_with_its_device_across_restarts(
    host: UsbHost, tmp_path: Path
) -> None:
    a = host.plug_in("1-1", "S1")
    async with started(tmp_path / "devices") as registry:
        await registry.scan(LIMITS)
        assert [port.id for port in registry.ports] == ["1a86-7523-s1"]
    host.unplug(a)
    host.plug_in("1-2", "S1")  # says that it is the same, in another socket: who knows
    async with started(tmp_path / "devices") as registry:
        await registry.scan(LIMITS)
        assert [port.id for port in registry.ports] == ["1a86-7523-s1-at-14.0-2"]


async def test_no_serial_number_makes_the_id_of_another_devices_socket(
    host: UsbHost, registry: Registry
) -> None:
    host.plug_in("1-3", "at-14.0-1")
    await registry.scan(LIMITS)
    forged = [port.id for port in registry.ports]
    host.plug_in("1-1")
    await registry.scan(LIMITS)
    (honest,) = {port.id for port in registry.ports} - set(forged)
    assert honest == "1a86-7523-at-14.0-1"


async def test_long_serial_numbers_that_begin_alike_are_two_ids(
    host: UsbHost, registry: Registry
) -> None:
    for place, last in (("1-1", "A"), ("1-2", "B")):
        host.plug_in(place, "S" * 100 + last)
    await registry.scan(LIMITS)
    names = [port.id for port in registry.ports]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 63


async def test_a_renumbered_bus_is_the_same_socket(host: UsbHost, registry: Registry) -> None:
    a = host.plug_in("1-1", controller="0000:00:14.0")
    await registry.scan(LIMITS)
    (port,) = registry.ports
    host.unplug(a)
    b = host.plug_in("1-1", controller="0000:05:00.0")  # of the controller that was found first now
    await refused(port, "not plugged in")
    again = host.plug_in("3-1", controller="0000:00:14.0")
    await moved(port, again)
    assert b.received == b""


async def test_ports_of_one_device_are_distinguished_by_their_interface(
    host: UsbHost, registry: Registry
) -> None:
    ids = ("0403", "6011")
    adapters = [host.plug_in("1-1", "FT4", ids=ids, interface=number) for number in (3, 1, 0, 2)]
    await registry.scan(LIMITS)
    names = [port.id for port in registry.ports]
    assert names == [f"0403-6011-ft4{more}" for more in ("", "-if1", "-if2", "-if3")]
    for port in registry.ports:
        number = int(port.line.expected_device().interface)  # type: ignore[union-attr]
        await moved(port, next(a for a in adapters if a.listed["location"] == f"1-1:1.{number}"))


SOURCES = ["usb:1a86:7523", "by node", "by id"]


def source_of(kind: str, adapter: Adapter) -> str:
    return {"by node": adapter.node, "by id": str(adapter.by_id)}.get(kind, kind)


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_configured_port_keeps_the_device_of_its_first_opening(
    host: UsbHost, tmp_path: Path, kind: str
) -> None:
    a = host.plug_in("1-1")
    source = source_of(kind, a)
    async with started(tmp_path / "devices") as registry:
        port = registry.add(PortConfig("laser", source))
        await moved(port, a)
        host.unplug(a)
        await until(lambda: not port.line.is_open)
        b = host.plug_in("1-2")
        assert source_of(kind, b) == source  # node, link and ids are B's now
        await refused(port, "refused: .* is another device")
        await registry.scan(None)
        assert port.describe().state in (PortState.ABSENT, PortState.FAILED)
        assert "in socket 0000:00:14.0/2); this port's is" in port.describe().state_reason
        assert "serial-svc devices forget laser" in port.describe().state_reason
        assert port.describe().usb_socket == "0000:00:14.0/1"
    async with started(tmp_path / "devices") as registry:  # and after a restart
        port = registry.add(PortConfig("laser", source))
        await refused(port, "refused: .* is another device")
        forget([tmp_path / "devices"], "laser")
        await moved(port, b)
    assert b.received.startswith(MOVE)


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_device_that_comes_back_to_its_socket_is_the_same(
    host: UsbHost, registry: Registry, kind: str
) -> None:
    a = host.plug_in("1-1")
    port = registry.add(PortConfig("laser", source_of(kind, a)))
    await moved(port, a)
    host.unplug(a)
    await until(lambda: not port.line.is_open)
    again = host.plug_in("1-1")
    await until(lambda: port.line.is_open)
    await moved(port, again)


async def test_of_identical_devices_a_usb_name_means_the_one_that_the_port_has(
    host: UsbHost, registry: Registry
) -> None:
    a = host.plug_in("1-1")
    port = registry.add(PortConfig("laser", "usb:1a86:7523"))
    await moved(port, a)
    host.plug_in("1-2")
    host.unplug(a)
    await until(lambda: not port.line.is_open)
    again = host.plug_in("1-1")
    await until(lambda: port.line.is_open)
    await moved(port, again)


async def test_of_identical_devices_none_is_taken_at_first_by_a_name_or_link_that_they_share(
    host: UsbHost, registry: Registry
) -> None:
    a, b = host.plug_in("1-1"), host.plug_in("1-2")
    by_name = registry.add(PortConfig("one", "usb:1a86:7523"))
    by_link = registry.add(PortConfig("two", str(a.by_id)))
    await refused(by_name, "several USB serial devices match 1a86:7523")
    await refused(by_link, "2 devices share the link .* usb:1a86:7523@0000:00:14.0/1 or usb:1a86")
    by_socket = registry.add(PortConfig("three", "usb:1a86:7523@0000:00:14.0/2"))
    by_location = registry.add(PortConfig("four", "usb:1a86:7523@1-1"))
    await moved(by_socket, b)
    await moved(by_location, a)


async def test_a_serial_number_that_is_configured_is_followed_from_socket_to_socket(
    host: UsbHost, registry: Registry
) -> None:
    a = host.plug_in("1-1", "S1")
    port = registry.add(PortConfig("laser", "usb:1a86:7523:S1"))
    await moved(port, a)
    host.unplug(a)
    await until(lambda: not port.line.is_open)
    elsewhere = host.plug_in("1-4", "S1")
    await until(lambda: port.line.is_open)
    await moved(port, elsewhere)
    assert port.describe().usb_socket == "0000:00:14.0/4"


async def test_a_link_that_moves_between_the_look_and_the_opening_moves_nothing(
    host: UsbHost, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = host.plug_in("1-1"), host.plug_in("1-2")
    link = host.root / "laser"
    link.symlink_to(a.node)
    port = registry.add(PortConfig("laser", str(link)))
    await moved(port, a)
    host.unplug(a)
    await until(lambda: not port.line.is_open)
    a = host.plug_in("1-1")
    guard = registry._guards["laser"]
    looked = guard.before_open

    def look_and_lose(path: str) -> None:
        link.unlink()
        link.symlink_to(a.node)
        looked(path)
        link.unlink()
        link.symlink_to(b.node)

    monkeypatch.setattr(guard, "before_open", look_and_lose)
    await refused(port, "refused: .* is another device")
    assert b.received == b""


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_latched_device_moves_under_no_other_id_and_source(
    host: UsbHost, tmp_path: Path, kind: str
) -> None:
    a = host.plug_in("1-1")
    async with started(tmp_path / "devices", tmp_path / "latches") as registry:
        port = registry.add(PortConfig("laser", source_of(kind, a)))
        await moved(port, a)
        await port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob", "smoke")
    seen = len(a.received)
    link = tmp_path / "elsewhere"
    link.symlink_to(a.node)
    async with started(tmp_path / "devices", tmp_path / "latches") as registry:
        port = registry.add(PortConfig("cutter", str(link)))
        before = port.line.latch.epoch
        session = await port.open_session(client())
        assert port.line.latch.is_set
        for number, epoch in enumerate((before, port.line.latch.epoch)):
            await session.command(Command(number + 1, None, epoch, number * len(MOVE), MOVE))
        assert session.waiting() == (0, 0)
        assert a.received[seen:] == b""
        session.end("test")
        await moved(port, a)
    async with started(tmp_path / "devices", tmp_path / "latches") as registry:
        await moved(registry.add(PortConfig("laser", source_of(kind, a))), a)


async def test_a_port_whose_device_is_no_longer_known_is_refused(
    host: UsbHost, tmp_path: Path
) -> None:
    a = host.plug_in("1-1")
    folder = tmp_path / "devices"
    folder.mkdir()
    (folder / "port-laser").write_text("{ half a file")
    async with started(folder) as registry:
        port = registry.add(PortConfig("laser", a.node))
        await refused(port, "it is unknown which device this port had")
    assert a.received == b""


async def test_a_device_that_is_no_usb_device_any_more_is_refused(
    host: UsbHost, registry: Registry, tmp_path: Path
) -> None:
    a, b = host.plug_in("1-1"), host.plug_in("1-2")
    link = tmp_path / "laser"
    link.symlink_to(a.node)
    port = registry.add(PortConfig("laser", str(link)))
    await moved(port, a)
    host.tree.detach(b.node)
    host.unplug(a)
    await until(lambda: not port.line.is_open)
    link.unlink()
    link.symlink_to(b.node)
    await refused(port, "no USB device")
    assert b.received == b""
