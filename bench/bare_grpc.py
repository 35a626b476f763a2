"""The fair lower bound: device and program joined by a gRPC stream over mTLS, and nothing else.

Per side: read the descriptor, one queue, write the stream; and back. No credit, no order, no
heartbeat. `python -m bench.bare_grpc far|near TARGET PATH SITE`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc, prepare_grpc_to_serve

# The same pollers as ours: what is compared are our features.
if sys.argv[1:2] == ["far"]:
    prepare_grpc_to_serve()
else:
    prepare_grpc()

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from usbshare.base.event_loop import run

METHOD = "/bench.Bare/Stream"
READ_BYTES = 4096


class Line:
    """A descriptor whose bytes come through a queue."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._read: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        self._read.put_nowait(os.read(self._descriptor, READ_BYTES))

    async def pump(self, send: Callable[[BytesValue], Awaitable[None]]) -> None:
        """Send what is read, for ever."""
        while True:
            await send(BytesValue(value=await self._read.get()))

    def write(self, data: bytes) -> None:
        """Write bytes."""
        os.write(self._descriptor, data)


async def far(target: str, path: str, site: Path) -> None:
    """Serve the device to one client."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    line = Line(descriptor)

    async def stream(requests: AsyncIterator[BytesValue], context: Any) -> None:
        pump = asyncio.create_task(line.pump(context.write))
        async for request in requests:
            line.write(request.value)
        pump.cancel()

    handler: Any = grpc.stream_stream_rpc_method_handler(
        stream,
        request_deserializer=BytesValue.FromString,
        response_serializer=BytesValue.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bare", {"Stream": handler}),)
    )
    own = (site / "server.key").read_bytes(), (site / "server.crt").read_bytes()
    trust = (site / "ca.crt").read_bytes()
    server.add_secure_port(target, grpc.ssl_server_credentials([own], trust, True))
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


async def near(target: str, link: str, site: Path) -> None:
    """Make a pty behind the link and join it to the server."""
    master, slave = os.openpty()
    tty.setraw(slave)
    bundle = (site.parent / "client.pem").read_bytes()
    trust = (site / "ca.crt").read_bytes()
    credentials = grpc.ssl_channel_credentials(trust, bundle, _certificates(bundle))
    async with grpc.aio.secure_channel(target, credentials) as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=BytesValue.FromString,
        )()
        line = Line(master)
        pump = asyncio.create_task(line.pump(call.write))
        os.symlink(os.ttyname(slave), link)
        async for response in call:
            line.write(response.value)
        pump.cancel()


def _certificates(bundle: bytes) -> bytes:
    return bundle[bundle.index(b"-----BEGIN CERTIFICATE") :]


if __name__ == "__main__":
    side, address, place, folder = sys.argv[1:]
    run({"far": far, "near": near}[side](address, place, Path(folder)))
