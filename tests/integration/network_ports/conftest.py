"""A virtual port of each network kind, free for programs, and who is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from fakes.network_port import FREE, SETTINGS, Listener
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort

Port = TypeVar("Port", bound=TcpPort)


@asynccontextmanager
async def started(
    make: Callable[[LoopbackAddress], Port], listener: Listener
) -> AsyncIterator[Port]:
    port = make(FREE)
    listener.port = port
    await port.start(listener, SETTINGS)
    yield port
    await port.close()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(params=[TcpPort, Rfc2217Port])
async def port(request: pytest.FixtureRequest, listener: Listener) -> AsyncIterator[TcpPort]:
    async with started(request.param, listener) as port:
        yield port


@pytest.fixture
async def tcp(listener: Listener) -> AsyncIterator[TcpPort]:
    async with started(TcpPort, listener) as port:
        yield port


@pytest.fixture
async def telnet(listener: Listener) -> AsyncIterator[Rfc2217Port]:
    async with started(Rfc2217Port, listener) as port:
        yield port
