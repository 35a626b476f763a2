"""A real service keeps every identity within the limits of its policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.forged import Forge
from fakes.processes import serial_service
from fakes.waiting import until
from usbshare.common.channel import Target, open_channel, parse_target
from usbshare.common.site import Site
from usbshare.common.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

TIMEOUT_S = 60.0
POLICY = """
[groups]
all = ["operator", "greedy"]
[[grants]]
who = ["all"]
rights = ["control"]
[limits]
streams = 3
connections = 2
requests_per_s = 8
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A running service with small limits."""

    target: Target
    forge: Forge

    def bundle(self, folder: Path, name: str) -> ClientBundle:
        uri = f"usbshare://{self.forge.site.id}/{name}"
        return self.forge.bundle(folder, self.forge.sign(uris=[uri]))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "policy.toml").write_text(POLICY)
    config = tmp_path / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(tmp_path, "--config", str(config)) as (service, target):
        site_id = service.wait_for(r"mTLS, site (\w+)")[1]
        yield Host(parse_target(target), Forge(Site(folder, site_id.ljust(64, "0"))))


@pytest.fixture
async def greedy(host: Host, tmp_path: Path) -> AsyncIterator[Any]:
    async with open_channel(host.target, host.bundle(tmp_path, "greedy")) as channel:
        yield SerialServiceStub(channel)


async def watching(stub: Any) -> Any:
    """Return a stream that has begun."""
    call = stub.WatchPorts(pb.WatchPortsRequest(), timeout=TIMEOUT_S)
    await call.read()
    return call


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return caught.value.details() or ""


async def test_a_stream_too_many_is_refused_and_one_that_ends_makes_room(greedy: Any) -> None:
    calls = [await watching(greedy) for _ in range(3)]
    assert "has 3 streams open" in await refusal(watching(greedy))
    calls[0].cancel()
    more: list[Any] = []

    async def try_again() -> None:
        while not more:
            try:
                more.append(await watching(greedy))
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)

    await asyncio.wait_for(try_again(), TIMEOUT_S)
    for call in (*calls, *more):
        call.cancel()


async def test_a_connection_too_many_is_refused(host: Host, tmp_path: Path) -> None:
    bundle = host.bundle(tmp_path, "greedy")
    async with AsyncExitStack() as channels:
        stubs = [
            SerialServiceStub(await channels.enter_async_context(open_channel(host.target, bundle)))
            for _ in range(3)
        ]
        calls = [await watching(stub) for stub in stubs[:2]]
        assert "uses 2 connections" in await refusal(watching(stubs[2]))
        for call in calls:
            call.cancel()


async def test_who_asks_too_fast_is_refused_and_may_still_stop(
    host: Host, greedy: Any, tmp_path: Path
) -> None:
    async def ask() -> grpc.StatusCode:
        try:
            await greedy.ListPorts(pb.ListPortsRequest(), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    asking = [asyncio.create_task(ask()) for _ in range(100)]
    await until(lambda: any(each.done() for each in asking))
    stop = pb.StopRequest(port_id="laser", action=pb.STOP_ACTION_HOLD)
    assert (await greedy.Stop(stop, timeout=TIMEOUT_S)).sent
    other = host.forge.bundle(tmp_path, host.forge.sign())
    async with open_channel(host.target, other) as channel:
        stub: Any = SerialServiceStub(channel)
        await stub.ListPorts(pb.ListPortsRequest(), timeout=TIMEOUT_S)
    codes = await asyncio.gather(*asking)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= 16
