"""Ports whose device is behind another computer's USB/IP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.usbip_device import FakeAcmDevice
from fakes.usbip_models import acm_model
from fakes.usbip_server import FakeServer, usbip_server
from fakes.waiting import until
from usbshare.base.background_writer import Background
from usbshare.base.errors import DeviceError
from usbshare.line.device_id_file import KnownDevices, forget
from usbshare.line.profiles import GRBL, StopAction
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Command, Mode


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Registry]:
    """Run a registry as a service does from its start to its end."""
    background = Background("the state folder")
    known = KnownDevices(folder, background)
    known.load()
    registry = Registry(time.monotonic, known=known)
    yield registry
    await registry.close()
    await asyncio.to_thread(background.close)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with started(tmp_path / "devices") as made:
        yield made


def client() -> Client:
    return Client("s", "usbshare://site/test", "test", "127.0.0.1:1", Mode.CONTROL)


def port_of(registry: Registry, server: FakeServer, device: str = "1-1") -> SerialPort:
    source = f"usbip://127.0.0.1:{server.port}/{device}"
    return registry.add(PortConfig("mill", source, profile=GRBL))


async def wrote(port: SerialPort, fake: FakeAcmDevice, data: bytes) -> None:
    before = len(fake.received_bytes)
    session = await port.open_session(client())
    if port.line.latch.is_set:
        port.stops.path.rearm("test", port.line.latch.epoch)
    await session.command(Command(1, None, port.line.latch.epoch, 0, data))
    await until(lambda: data in fake.received_bytes[before:])
    session.end("test")


async def test_a_program_runs_through_such_a_port(registry: Registry) -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        port = port_of(registry, server)
        lines = b"".join(b"G1 X%d F1000\n" % number for number in range(200))
        session = await port.open_session(client())
        await session.command(Command(1, None, port.line.latch.epoch, 0, lines))
        await until(lambda: fake.received_bytes == lines)
        fake.say(b"ok\r\n")
        await until(lambda: port.line.read_offset == 4)


async def test_an_emergency_stop_overtakes_what_the_device_has_not_taken(
    registry: Registry,
) -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        port = port_of(registry, server)
        session = await port.open_session(client())
        await until(lambda: fake.log[-1].request == 0x22)
        fake.takes.clear()
        program = b"".join(b"G1 X%d F1000\n" % number for number in range(200))
        await session.command(Command(1, None, port.line.latch.epoch, 0, program))
        await until(lambda: port.line.device.unsent_bytes() > 0)
        await port.stops.path.stop(StopAction.EMERGENCY_STOP, "test")
        await port.line.device.configure(port.line.device.settings)  # the server has read it all
        fake.takes.set()
        await until(lambda: b"\x18" in fake.received_bytes)
        assert fake.received_bytes.startswith(b"\x18")
        assert b"X1" not in fake.received_bytes


@pytest.mark.parametrize("how", ["stop", "drop"])
async def test_a_lost_server_reports_the_lost_job_and_the_port_comes_back(
    registry: Registry, how: str
) -> None:
    fake = FakeAcmDevice(acm_model())
    async with usbip_server(fake) as server:
        port = port_of(registry, server)
        session = await port.open_session(client())
        epoch = port.line.latch.epoch
        fake.takes.clear()
        await session.command(Command(1, None, epoch, 0, b"G1 X1 F100\n"))
        await until(lambda: port.line.device.unsent_bytes() > 0)
        await getattr(server, how)()
        await until(lambda: port.line.keeper.state is PortState.ABSENT)
        assert port.line.latch.epoch > epoch
        assert "bytes were in transit" in port.line.keeper.reason
        fake.takes.set()
        if how == "stop":
            await server.start()
        await until(lambda: port.line.is_open)
        await until(lambda: b"\x84" in fake.received_bytes)  # the policy for a lost job
        assert b"G1 X1" not in fake.received_bytes


async def test_another_device_in_its_place_is_refused_until_a_person_says_so(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "devices"
    own, other = (FakeAcmDevice(acm_model(number)) for number in ("A1", "B2"))
    async with usbip_server(own) as server:
        async with started(folder) as registry:
            await wrote(port_of(registry, server), own, b"$I\n")
        async with started(folder) as registry:
            server.devices[:] = [other]
            port = port_of(registry, server)
            with pytest.raises(DeviceError, match=r"is another device \(2341:0043, serial .* B2"):
                await port.open_session(client())
            assert {each.request for each in other.log} == {6}
            forget([folder], "mill")
            await registry.scan(None)
            await wrote(port, other, b"$I\n")


async def test_a_serial_number_is_followed_from_socket_to_socket(tmp_path: Path) -> None:
    folder = tmp_path / "devices"
    first, moved = (FakeAcmDevice(acm_model("A1"), busid) for busid in ("1-1", "1-4"))
    async with usbip_server(first) as server:
        async with started(folder) as registry:
            await wrote(port_of(registry, server, "2341:0043:A1"), first, b"$I\n")
        server.devices[:] = [moved]
        async with started(folder) as registry:
            await wrote(port_of(registry, server, "2341:0043:A1"), moved, b"$I\n")
