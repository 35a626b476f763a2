"""A service that stood still for longer than it waits: clients that beat in time keep sessions."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.processes import serial_service
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stops a process by SIGSTOP")

# On a busy machine a client, too, may get no processor for a second or two.
LINK_TIMEOUT_S = 5.0
STILL_S = 1.5 * LINK_TIMEOUT_S
TIMEOUT_S = 60.0
BEAT_S = 0.25


@dataclass
class Service:
    """A service's process and where it is."""

    pid: int
    target: str
    bundle: ClientBundle

    async def stand_still(self) -> None:
        """Let it do nothing for a while; what is sent to it lies in the kernel."""
        os.kill(self.pid, signal.SIGSTOP)
        await asyncio.sleep(STILL_S)
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    config = tmp_path / "serial.toml"
    config.write_text(f'[ports.laser]\nsource = "sim://grbl"\nlink_timeout_s = {LINK_TIMEOUT_S}\n')
    with serial_service(tmp_path, "--config", str(config)) as (process, target):
        bundle = ClientBundle.load(tmp_path / "config" / "usbshare" / "client.pem")
        yield Service(process.process.pid, target, bundle)


@pytest.fixture
async def stub(service: Service) -> AsyncIterator[Any]:
    channel = open_channel(parse_target(service.target), service.bundle)
    yield SerialServiceStub(channel)
    await channel.close()


def opening() -> pb.SessionRequest:
    return pb.SessionRequest(open=pb.Open(mode=pb.SESSION_MODE_CONTROL, client_name="test"))


async def opened(stub: Any) -> Any:
    call = stub.Session(timeout=TIMEOUT_S)
    await call.write(opening())
    assert (await call.read()).HasField("opened")
    return call


@asynccontextmanager
async def beating(call: Any) -> AsyncIterator[None]:
    async def beat() -> None:
        for number in range(1, 1000):
            await call.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=number)))
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(beat())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def heartbeats_are_answered(call: Any, count: int) -> None:
    """Read so many answers, which come only while the session lives."""
    async with asyncio.timeout(TIMEOUT_S):
        while count:
            response = await call.read()
            assert response is not grpc.aio.EOF, f"the session was lost: {await call.details()}"
            count -= response.HasField("heartbeat")


async def test_a_client_is_not_taken_for_lost_after_its_service_stood_still(
    service: Service, stub: Any
) -> None:
    call = await opened(stub)
    async with beating(call):
        await heartbeats_are_answered(call, 2)
        await service.stand_still()
        await heartbeats_are_answered(call, 30)
    call.cancel()


async def test_a_session_is_not_taken_over_after_its_service_stood_still(
    service: Service, stub: Any
) -> None:
    call = await opened(stub)
    async with beating(call):
        await heartbeats_are_answered(call, 2)
        other = stub.Session(timeout=TIMEOUT_S)
        await other.write(opening())
        await service.stand_still()
        with pytest.raises(grpc.aio.AioRpcError, match="is held by"):
            await heartbeats_are_answered(other, 1)
        await heartbeats_are_answered(call, 10)
    call.cancel()
