"""Where another service than the wanted one answers, the person learns which, and where ours is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from usbshare.rpc import other_service
from usbshare.rpc.channel import Target
from usbshare.rpc.other_service import (
    CAMERA_SERVICE,
    SERIAL_SERVICE,
    name_other_service,
)
from usbshare.rpc.server import bind, make_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def service(*names: str) -> AsyncIterator[Target]:
    """Serve nothing but the health of these services, on a free port of loopback."""
    server = make_server()
    servicer = health.aio.HealthServicer()
    for name in names:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = bind(server, "127.0.0.1:0", None)
    await server.start()
    try:
        yield Target("127.0.0.1", port)
    finally:
        await server.stop(None)


async def test_the_wanted_service_answers_at_its_usual_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service(CAMERA_SERVICE) as there, service(SERIAL_SERVICE) as ours:
        usual = {**other_service._SERVICES, SERIAL_SERVICE: ("serial-svc", ours.port)}
        monkeypatch.setattr(other_service, "_SERVICES", usual)
        error = await name_other_service(there, None, SERIAL_SERVICE)
    assert str(error) == f"camera-svc listens at {there}: serial-svc is at {ours}"


async def test_the_wanted_service_is_not_where_it_usually_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service(CAMERA_SERVICE) as there, service() as empty:
        usual = {**other_service._SERVICES, SERIAL_SERVICE: ("serial-svc", empty.port)}
        monkeypatch.setattr(other_service, "_SERVICES", usual)
        error = await name_other_service(there, None, SERIAL_SERVICE)
    assert str(error) == (
        f"camera-svc listens at {there}: serial-svc does not answer at {empty}; "
        "`usbshare-bridge discover` shows the port of serial-svc"
    )


async def test_a_service_of_that_name_that_lacks_the_call_is_older() -> None:
    async with service(SERIAL_SERVICE) as there:
        error = await name_other_service(there, None, SERIAL_SERVICE)
    assert "serial-svc" in str(error)
    assert "update it" in str(error)
