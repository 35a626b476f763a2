"""Rules that cannot be read: said, then closed to everything but a stop, on open streams too."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fakes.every_rpc import TIMEOUT_S
from fakes.guarded_host import GuardedHost, guarded_host
from usbshare.authorization import rulebook
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.identities import registry_path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no FIFOs")

EVERYTHING = '[[grants]]\nwho = ["pc"]\nrights = ["control"]\n'


@pytest.fixture
async def host(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GuardedHost]:
    monkeypatch.setattr(rulebook, "CLOSES_AFTER_S", 3.0)
    async with guarded_host(tmp_path_factory.mktemp("host"), EVERYTHING) as running:
        yield running


async def end_of(call: Any) -> str:
    async with asyncio.timeout(TIMEOUT_S):
        with suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:
                pass
        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
        return str(await call.details())


def metrics(host: GuardedHost) -> str:
    registry = CollectorRegistry()
    for collector in host.guards["serial-svc"].collectors():
        registry.register(collector)
    return generate_latest(registry).decode()


async def test_with_revocations_unknown_a_stream_ends_a_stop_works_and_all_recovers(
    host: GuardedHost,
) -> None:
    channel = host.channel("serial", "pc")
    stub: Any = SerialServiceStub(channel)
    call = stub.WatchPorts(serial.WatchPortsRequest())
    assert await call.read() is not grpc.aio.EOF
    assert "usbshare_rules_closed 0.0" in metrics(host)
    registry = registry_path(host.site.folder)
    kept = registry.read_bytes()
    registry.unlink()
    os.mkfifo(registry)
    assert "cannot read its access rules" in await end_of(call)
    assert "usbshare_rules_closed 1.0" in metrics(host)
    assert "usbshare_rules_trouble 1.0" in metrics(host)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListPorts(serial.ListPortsRequest(), timeout=TIMEOUT_S)
    assert "a stop is always possible" in str(refused.value.details())
    request = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_EMERGENCY_STOP)
    await stub.Stop(request, timeout=TIMEOUT_S)
    registry.unlink()
    registry.write_bytes(kept)
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                await stub.ListPorts(serial.ListPortsRequest(), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)
            else:
                break
    assert "usbshare_rules_closed 0.0" in metrics(host)
