"""A device from a host's kernel to a client's, over real gRPC and mTLS; both kernels are fakes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.guarded_host import USB_LINK_TIMEOUT_S, GuardedHost, guarded_host
from fakes.network import Network
from fakes.waiting import until
from usbshare.base.errors import SessionLostError, UsbshareError
from usbshare.bridge.usb import attachment
from usbshare.bridge.usb.attachment import Attached, attach
from usbshare.bridge.usb.layers import layer_of
from usbshare.client.usb.client import UsbClient
from usbshare.rpc.channel import parse_target
from usbshare.usbip.errors import UsbipNetworkError
from usbshare.usbip.vhci.attach import Plugged, PlugPlaces
from usbshare.usbip.vhci.helper import Vhci

ADAPTER = "0403:6001:A5"
POLICY = """
[[grants]]
who = ["control"]
rights = ["control"]
usb = ["*"]
"""
LONG_S = 2.5 * USB_LINK_TIMEOUT_S
MUCH = bytes(4_000_000)


@dataclass
class Kernel:
    """A client's kernel, which may take its time to plug a device in; `end` is its end of it."""

    may_plug: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    end: socket.socket | None = None
    ours: socket.socket | None = None

    def plug_in(self, *_: object) -> Plugged:
        self.asked.set()
        assert self.may_plug.wait(60)
        self.ours, self.end = socket.socketpair()
        self.ours.setblocking(False)
        self.end.setblocking(False)
        return Plugged(self.ours, 0, Vhci(), None)

    def is_unplugged(self) -> bool:
        return self.ours is not None and self.ours.fileno() < 0


@pytest.fixture
async def kernel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernel]:
    made = Kernel()
    monkeypatch.setattr(attachment, "plug_in", made.plug_in)
    yield made
    made.may_plug.set()
    await until(made.is_unplugged)  # whenever it was plugged in
    assert made.end is not None
    made.end.close()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path, POLICY) as running:
        yield running


@pytest.fixture
async def link(host: GuardedHost) -> AsyncIterator[Network]:
    network = Network(str(host.targets["usb"]))
    await network.start()
    yield network
    await network.close()


@dataclass
class Attachment:
    """What runs."""

    task: asyncio.Task[None]
    attached: list[Attached]

    async def ends_within(self, seconds: float) -> bool:
        """Return whether it ends by itself before so much time has gone."""
        return bool((await asyncio.wait([self.task], timeout=seconds))[0])

    async def error(self) -> UsbshareError:
        """Return why it ended."""
        async with asyncio.timeout(60):
            with pytest.raises(UsbshareError) as raised:
                await self.task
        return raised.value


@pytest.fixture
async def running(host: GuardedHost, link: Network, kernel: Kernel) -> AsyncIterator[Attachment]:
    client = UsbClient(parse_target(link.target), host.bundle("control"))
    told: list[Attached] = []
    work = attach(client, ADAPTER, "test", PlugPlaces(), told.append)
    made = Attachment(asyncio.create_task(work), told)
    await until(kernel.asked.is_set)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)
    await client.close()


def is_given_back(host: GuardedHost) -> Callable[[], bool]:
    return lambda: "rebind 1-1" in host.usb.written


async def test_a_kernel_that_plugs_in_slowly_does_not_cost_the_device(
    host: GuardedHost, kernel: Kernel, running: Attachment
) -> None:
    assert not await running.ends_within(LONG_S)
    assert not is_given_back(host)()
    kernel.may_plug.set()
    await until(lambda: bool(running.attached))
    assert kernel.end is not None
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(kernel.end, b"to the device")
    device = host.usb.devices["1-1"]
    device.setblocking(False)
    assert await loop.sock_recv(device, 64) == b"to the device"


@pytest.mark.parametrize("is_plugged", [False, True])
async def test_a_dead_link_is_noticed_on_both_sides(
    host: GuardedHost, link: Network, kernel: Kernel, running: Attachment, is_plugged: bool
) -> None:
    if is_plugged:
        kernel.may_plug.set()
        await until(lambda: bool(running.attached))
    link.black_hole()
    error = await running.error()
    assert isinstance(error, UsbipNetworkError)
    assert "the host has been silent for " in str(error)
    await until(is_given_back(host))


async def test_a_host_that_does_not_hear_the_client_takes_the_device_back(
    host: GuardedHost, link: Network, running: Attachment
) -> None:
    link.black_hole(down=False)
    error = await running.error()
    assert isinstance(error, SessionLostError | UsbipNetworkError)
    assert layer_of(error) == "network"
    await until(is_given_back(host))


async def test_a_client_that_does_not_hear_the_host_gives_the_device_back(
    host: GuardedHost, link: Network, running: Attachment
) -> None:
    link.black_hole(up=False)
    assert isinstance(await running.error(), UsbipNetworkError)
    await until(is_given_back(host))


async def test_a_dead_link_is_noticed_behind_a_write_that_waits(
    host: GuardedHost, link: Network, kernel: Kernel, running: Attachment
) -> None:
    kernel.may_plug.set()
    await until(lambda: bool(running.attached))
    link.black_hole()
    assert kernel.end is not None
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(kernel.end, MUCH))
    assert isinstance(await running.error(), UsbipNetworkError)
    await asyncio.gather(sending, return_exceptions=True)
    await until(is_given_back(host))


async def test_a_device_that_takes_nothing_for_a_while_is_no_silent_client(
    host: GuardedHost, kernel: Kernel, running: Attachment
) -> None:
    kernel.may_plug.set()
    await until(lambda: bool(running.attached))
    assert kernel.end is not None
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(loop.sock_sendall(kernel.end, MUCH))
    assert not await running.ends_within(LONG_S)
    device, received = host.usb.devices["1-1"], 0
    device.setblocking(False)
    async with asyncio.timeout(60):
        while received < len(MUCH):
            received += len(await loop.sock_recv(device, 1 << 16))
        await sending
    assert not running.task.done()


async def test_a_program_that_takes_nothing_for_a_while_is_no_silent_host(
    host: GuardedHost, kernel: Kernel, running: Attachment
) -> None:
    kernel.may_plug.set()
    await until(lambda: bool(running.attached))
    assert kernel.end is not None
    loop = asyncio.get_running_loop()
    device, received = host.usb.devices["1-1"], 0
    device.setblocking(False)
    sending = asyncio.create_task(loop.sock_sendall(device, MUCH))
    assert not await running.ends_within(LONG_S)
    async with asyncio.timeout(60):
        while received < len(MUCH):
            received += len(await loop.sock_recv(kernel.end, 1 << 16))
        await sending
    assert not running.task.done()


async def test_a_client_that_is_stopped_twice_unplugs_the_device(
    kernel: Kernel, running: Attachment
) -> None:
    kernel.may_plug.set()
    await until(lambda: bool(running.attached))
    running.task.cancel()
    await asyncio.sleep(0)
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    assert kernel.is_unplugged()
