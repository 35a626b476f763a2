"""A port of the serial service, called by generated stubs over real mTLS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from fakes.certificates import make_site
from fakes.gates import gate_of
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)
from usbshare.serial_svc.api.servicer import SERVICE_NAME, SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub


TIMEOUT_S = 30.0


Call = grpc.aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse]


@dataclass
class Served:
    """A running service and a client of its site."""

    registry: Registry
    site: Site
    target: str
    channel: grpc.aio.Channel
    stub: SerialServiceAsyncStub


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """Run the service with one simulated machine."""
    site = make_site(folder)
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl", "the big one"))
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry, gate_of(site)), server)
    await add_standard_services(server, [SERVICE_NAME])
    port = bind(server, "127.0.0.1:0", server_credentials(site))
    await server.start()
    target = f"127.0.0.1:{port}"
    channel = open_channel(parse_target(target), ClientBundle.load(site.client_bundle))
    try:
        yield Served(registry, site, target, channel, SerialServiceStub(channel))
    finally:
        await channel.close()
        await registry.close()
        await server.stop(None)


def opening(**fields: object) -> pb.SessionRequest:
    chosen = {"port_id": "laser", "mode": pb.SESSION_MODE_CONTROL, "client_name": "test"}
    return pb.SessionRequest(open=pb.Open(**{**chosen, **fields}))  # type: ignore[arg-type]


async def opened(served: Served, **fields: object) -> tuple[Call, pb.Opened]:
    call: Call = served.stub.Session(timeout=TIMEOUT_S)
    await call.write(opening(**fields))
    return call, (await event(call, "opened")).opened


async def event(
    call: Call, kind: str, where: Callable[[pb.SessionResponse], bool] = lambda _: True
) -> pb.SessionResponse:
    """Return the next event of that kind for which the condition holds."""
    while True:
        response = await call.read()
        assert isinstance(response, pb.SessionResponse), "the stream ended"
        if response.WhichOneof("event") == kind and where(response):
            return response


async def said(call: Call, text: bytes) -> bytes:
    """Return what the device sent up to and with the text."""
    heard = bytearray()
    while text not in heard:
        heard += (await event(call, "data")).data.data
    return bytes(heard)


def command(data: bytes, offset: int = 0, number: int = 1, epoch: int = 1) -> pb.SessionRequest:
    return pb.SessionRequest(command=pb.Command(id=number, epoch=epoch, offset=offset, data=data))


async def fails(call: Call) -> grpc.aio.AioRpcError:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call did not fail")
