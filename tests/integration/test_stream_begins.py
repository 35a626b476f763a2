"""A stream that has begun can end at any time: its status arrives, whatever is being written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from usbshare.base.errors import DrainingError
from usbshare.rpc.first_message import first_message
from usbshare.rpc.interceptors import StatusInterceptor
from usbshare.serial.v1 import serial_pb2 as pb

TIMEOUT_S = 60.0
SERVICE, METHOD = "usbshare.test.v1.Streams", "Serve"


class Streams:
    """Ends a stream while its first response is under way, as a pump leaves it."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.under_way: Coroutine[Any, Any, None] | None = None

    async def serve(self, requests: AsyncIterator[Any], context: Any) -> None:
        await first_message(context, "open")
        self.under_way = context.write(pb.SessionResponse())
        self.under_way.send(None)
        if self._error is not None:
            raise self._error


@asynccontextmanager
async def served(streams: Streams) -> AsyncIterator[Any]:
    """Serve it; yields what calls it."""
    handler = grpc.stream_stream_rpc_method_handler(
        streams.serve, pb.SessionRequest.FromString, pb.SessionResponse.SerializeToString
    )
    server = grpc.aio.server(interceptors=[StatusInterceptor()])
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.stream_stream(
                f"/{SERVICE}/{METHOD}",
                pb.SessionRequest.SerializeToString,
                pb.SessionResponse.FromString,
            )
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, grpc.StatusCode.OK), (DrainingError("it stops"), grpc.StatusCode.UNAVAILABLE)],
)
async def test_the_status_arrives_while_the_first_response_is_being_written(
    error: Exception | None, code: grpc.StatusCode
) -> None:
    async with served(Streams(error)) as serve:
        call = serve(timeout=TIMEOUT_S)
        await call.write(pb.SessionRequest(open=pb.Open()))
        assert await call.read() == pb.SessionResponse()
        assert await call.code() is code
