"""A real service keeps every identity within the limits of its policy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from fakes.forged import Forge
from fakes.processes import serial_service
from fakes.waiting import until
from usbshare.authorization.limits import BURST_S, URGENT_PER_S
from usbshare.rpc.channel import Target, open_channel, parse_target
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.site import Site

TIMEOUT_S = 60.0
AT_ONCE = 50  # fewer than a connection may have streams
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
async def greedy_channel(host: Host, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(host.target, host.bundle(tmp_path, "greedy")) as channel:
        yield channel


@pytest.fixture
def greedy(greedy_channel: Any) -> Any:
    return SerialServiceStub(greedy_channel)


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


def list_ports(channel: Any) -> Any:
    return SerialServiceStub(channel).ListPorts(pb.ListPortsRequest(), timeout=TIMEOUT_S)


def get_port(channel: Any) -> Any:
    return SerialServiceStub(channel).GetPort(pb.GetPortRequest(port_id="laser"), timeout=TIMEOUT_S)


def ask_state(channel: Any) -> Any:
    request = pb.SendRealtimeRequest(port_id="laser", data=b"?")
    return SerialServiceStub(channel).SendRealtime(request, timeout=TIMEOUT_S)


def check_health(channel: Any) -> Any:
    stub: Any = HealthStub(channel)
    return stub.Check(HealthCheckRequest(), timeout=TIMEOUT_S)


async def watch_health(channel: Any) -> None:
    stub: Any = HealthStub(channel)
    call = stub.Watch(HealthCheckRequest(), timeout=TIMEOUT_S)
    await call.read()
    call.cancel()


async def reflect(channel: Any) -> None:
    stub: Any = cast(Any, ServerReflectionStub)(channel)
    call = stub.ServerReflectionInfo(timeout=TIMEOUT_S)
    with suppress(asyncio.InvalidStateError):  # refused: `read` says so
        await write(call, ServerReflectionRequest(list_services=""))
    await call.read()
    call.cancel()


class Flood:
    """Calls of one connection, again and again; what came of each."""

    def __init__(self, call: Callable[[Any], Any], channel: grpc.aio.Channel, times: int) -> None:
        self.codes: list[grpc.StatusCode] = []
        self._call, self._channel, self._times = call, channel, times
        self._asking = [asyncio.create_task(self._ask()) for _ in range(AT_ONCE)]

    async def _ask(self) -> None:
        for _ in range(self._times):
            try:
                await self._call(self._channel)
            except grpc.aio.AioRpcError as error:
                self.codes.append(error.code())
            else:
                self.codes.append(grpc.StatusCode.OK)

    async def end(self) -> None:
        await asyncio.gather(*self._asking)


@pytest.mark.parametrize("call", [list_ports, get_port, check_health, watch_health, reflect])
async def test_a_caller_over_its_rate_is_refused_and_may_still_stop(
    host: Host, greedy_channel: grpc.aio.Channel, tmp_path: Path, call: Callable[[Any], Any]
) -> None:
    flood = Flood(call, greedy_channel, 2)
    await until(lambda: flood.codes)
    await stop_is_sent(greedy_channel)
    other = host.forge.bundle(tmp_path, host.forge.sign())
    async with open_channel(host.target, other) as others:
        await list_ports(others)
    await flood.end()
    assert set(flood.codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    if call in {list_ports, get_port, check_health}:
        assert flood.codes.count(grpc.StatusCode.OK) >= 16


async def test_realtime_bytes_that_come_too_fast_wait_and_a_stop_does_not(
    greedy_channel: grpc.aio.Channel,
) -> None:
    began = time.monotonic()
    flood = Flood(ask_state, greedy_channel, 10)
    await until(lambda: len(flood.codes) > URGENT_PER_S * BURST_S)
    await stop_is_sent(greedy_channel)
    assert len(flood.codes) < AT_ONCE * 10
    await flood.end()
    assert set(flood.codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    taken = flood.codes.count(grpc.StatusCode.OK)
    assert time.monotonic() - began >= (taken - URGENT_PER_S * BURST_S) / URGENT_PER_S - 1


async def stop_is_sent(channel: Any) -> None:
    stop = pb.StopRequest(port_id="laser", action=pb.STOP_ACTION_HOLD)
    assert (await SerialServiceStub(channel).Stop(stop, timeout=TIMEOUT_S)).sent
