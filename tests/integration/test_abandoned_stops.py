"""A stop whose client hangs up while it is carried out, over a real connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fakes.audit import FakeAudit
from fakes.certificates import make_site
from fakes.gates import gate_of
from fakes.waiting import until
from usbshare.line.profiles import GRBL
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.server import bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)
from usbshare.serial_svc.api.servicer import SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.stop.stop_path import StopPath

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub

TIMEOUT_S = 30.0


@asynccontextmanager
async def serving(folder: Path, registry: Registry) -> AsyncIterator[SerialServiceAsyncStub]:
    site = make_site(folder)
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry, gate_of(site)), server)
    port = bind(server, "127.0.0.1:0", server_credentials(site))
    await server.start()
    target, bundle = parse_target(f"127.0.0.1:{port}"), ClientBundle.load(site.client_bundle)
    try:
        async with open_channel(target, bundle) as channel:
            yield SerialServiceStub(channel)
    finally:
        await registry.close()
        await server.stop(None)


async def test_a_stop_whose_client_hangs_up_is_in_the_log_and_in_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never_drained(_: StopPath) -> bool:
        await asyncio.Event().wait()
        return False

    monkeypatch.setattr(StopPath, "_has_drained", never_drained)
    audit = FakeAudit()
    registry = Registry(time.monotonic, audit=audit)
    port = registry.add(PortConfig("laser", "sim://grbl", profile=GRBL))
    async with serving(tmp_path, registry) as stub:
        request = pb.StopRequest(
            port_id="laser", action=pb.STOP_ACTION_EMERGENCY_STOP, reason="smoke"
        )
        call = stub.Stop(request, timeout=TIMEOUT_S)
        call_sent = asyncio.ensure_future(call)
        await until(lambda: port.line.counters.stop_write_time.count)
        call.cancel()
        await asyncio.wait([call_sent])
        await until(lambda: "stop" in audit.events)
    stop = audit.last("stop")
    assert (stop["reason"], stop["latched"], stop["caller_left"]) == ("smoke", True, True)
    assert bytes.fromhex(stop["sent"]).endswith(b"\x18")
    assert "its caller disconnected" in caplog.text
