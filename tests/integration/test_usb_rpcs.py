"""Devices lent over real gRPC and mTLS, by the client that the bridge has; the kernel is a fake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.guarded_host import USB_LINK_TIMEOUT_S, GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.base.errors import (
    DeviceAbsentError,
    NotFoundError,
    PermissionDeniedError,
    PortHeldError,
    SessionLostError,
)
from usbshare.client.usb.client import AttachStream, UsbClient
from usbshare.usb_svc.api.metrics import UsbCollector
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usb_svc.devices.judgement import State
from usbshare.usb_svc.export.lending import OfferedDevice
from usbshare.usbip.messages import Speed

ADAPTER, OTHER = "0403:6001:A5", "0403:6001:A6"
POLICY = """
[[grants]]
who = ["control", "second"]
rights = ["control"]
usb = ["*:A5"]
[[grants]]
who = ["view"]
rights = ["view"]
usb = ["*"]
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path, POLICY) as running:
        yield running


@pytest.fixture
async def client(host: GuardedHost) -> AsyncIterator[UsbClient]:
    async for each in client_of(host, "control"):
        yield each


async def client_of(host: GuardedHost, name: str) -> AsyncIterator[UsbClient]:
    made = UsbClient(host.targets["usb"], host.bundle(name))
    yield made
    await made.close()


def kernel(host: GuardedHost) -> socket.socket:
    device = host.usb.devices["1-1"]
    device.setblocking(False)
    return device


async def test_bytes_pass_both_ways_and_the_device_is_given_back(
    host: GuardedHost, client: UsbClient
) -> None:
    stream = client.attach()
    opened = await stream.open(ADAPTER, "test")
    assert (opened.device.id, opened.devid) == (ADAPTER, 0x10002)
    assert opened.device.speed is Speed.HIGH
    loop = asyncio.get_running_loop()
    await stream.send(b"to the device")
    assert await loop.sock_recv(kernel(host), 64) == b"to the device"
    await loop.sock_sendall(kernel(host), bytes(200_000))
    received = b""
    while len(received) < 200_000:
        piece = await stream.receive()
        assert isinstance(piece, bytes)
        received += piece
    await stream.beat(7)
    assert await stream.receive() == 7
    (listed,) = [each for each in await client.list_devices() if each.id == ADAPTER]
    assert (listed.state, listed.holder) == ("attached", f"usbshare://{host.site.id}/control")
    stream.cancel()
    await until(lambda: "rebind 1-1" in host.usb.written)


async def all_of(stream: AttachStream) -> None:
    while await stream.receive() is not None:
        pass


async def test_another_client_is_refused_with_the_holders_name(
    host: GuardedHost, client: UsbClient
) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    async for second in client_of(host, "second"):
        with pytest.raises(PortHeldError, match=r"is attached by .*/control"):
            await second.attach().open(ADAPTER, "test")
    stream.cancel()


async def test_a_client_that_is_silent_has_lost_its_device(
    host: GuardedHost, client: UsbClient
) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    with pytest.raises(SessionLostError, match=f"silent for {USB_LINK_TIMEOUT_S:g} s"):
        await stream.receive()
    assert "rebind 1-1" in host.usb.written


async def test_an_unplugged_device_ends_its_stream(host: GuardedHost, client: UsbClient) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    kernel(host).close()
    del host.usb.devices["1-1"]
    with pytest.raises(DeviceAbsentError, match="was unplugged"):
        await stream.receive()


async def test_rights_are_per_device(host: GuardedHost, client: UsbClient) -> None:
    assert [each.id for each in await client.list_devices()] == [ADAPTER]
    with pytest.raises(PermissionDeniedError):
        await client.attach().open(OTHER, "test")
    async for viewer in client_of(host, "view"):
        assert [each.id for each in await viewer.list_devices()] == [ADAPTER, OTHER]
        with pytest.raises(PermissionDeniedError):
            await viewer.attach().open(ADAPTER, "test")
        with pytest.raises((NotFoundError, PermissionDeniedError)):
            await viewer.attach().open("dead:beef", "test")
    assert host.usb.written == []


async def test_a_right_that_is_taken_away_ends_the_attachment(
    host: GuardedHost, client: UsbClient
) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")

    async def live() -> None:
        for number in range(1, 600):
            await stream.beat(number)
            await asyncio.sleep(0.1)

    living = asyncio.create_task(live())
    host.write_policy(POLICY.replace('"control", "second"', '"second"'))
    with pytest.raises(PermissionDeniedError):
        await all_of(stream)
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    await until(lambda: "rebind 1-1" in host.usb.written)


async def test_attachments_are_in_the_audit_log(host: GuardedHost, client: UsbClient) -> None:
    log = host.site.folder / "state" / "audit" / "usb-svc.jsonl"
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    await until(lambda: b"usb device attached" in log.read_bytes())
    stream.cancel()
    await until(lambda: b"usb device freed" in log.read_bytes())
    assert ADAPTER.encode() in log.read_bytes()


def counted(host: GuardedHost) -> dict[str, float]:
    """Return what is scraped, by name and label."""
    collector = UsbCollector(lambda: (), host.usb_totals)
    samples = [sample for family in collector.collect() for sample in family.samples]
    return {
        " ".join([each.name.removeprefix("usbshare_usb_"), *each.labels.values()]): each.value
        for each in samples
    }


async def test_outcomes_of_attachments_are_counted(host: GuardedHost, client: UsbClient) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    await stream.send(b"12345")
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(kernel(host), 64) == b"12345"
    await loop.sock_sendall(kernel(host), b"123")
    while await stream.receive() != b"123":
        pass
    async for second in client_of(host, "second"):
        with pytest.raises(PortHeldError):
            await second.attach().open(ADAPTER, "test")
        with pytest.raises(PermissionDeniedError):
            await second.attach().open(OTHER, "test")
    stream.cancel()
    await until(lambda: counted(host)["ended_total client"] == 1)
    found = counted(host)
    assert (found["attachments_total"], found["bytes_total client"]) == (1, 5)
    assert (found["bytes_total device"], found["refusals_total held"]) == (3, 1)
    assert found["refusals_total no right"] == 1


async def test_silence_and_lost_rights_are_counted(host: GuardedHost, client: UsbClient) -> None:
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    with pytest.raises(SessionLostError):
        await all_of(stream)
    await until(lambda: counted(host)["ended_total silence"] == 1)
    stream = client.attach()
    await stream.open(ADAPTER, "test")
    host.write_policy(POLICY.replace('"control", "second"', '"second"'))
    with pytest.raises((PermissionDeniedError, SessionLostError)):
        await all_of(stream)
    await until(lambda: sum(host.usb_totals.endings.values()) == 2)
    assert counted(host)["attachments_total"] == 2


async def test_devices_are_counted_by_state(host: GuardedHost) -> None:
    devices = [
        OfferedDevice(str(number), HostDevice("1-1", 1, 2, 3, 4), state)
        for number, state in enumerate((State.AVAILABLE, State.AVAILABLE, State.IN_USE))
    ]
    (family, *_) = UsbCollector(lambda: devices, host.usb_totals).collect()
    found = {each.labels["state"]: each.value for each in family.samples}
    assert found == {"available": 2, "attached": 0, "in use": 1, "refused": 0}
