"""A stream's responses come whole and in order, and its end tells the server's reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from usbshare.client.serial.client import SessionStream
from usbshare.client.serial.messages import SendCommand
from usbshare.rpc.stream_reads import StreamReader
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)

WHY = "revoked"
MESSAGES = 50


class Telling:
    """Sends numbered messages at once, then ends, with a status, or never."""

    def __init__(self, code: grpc.StatusCode | None) -> None:
        self._code = code
        self.was_cancelled = asyncio.Event()

    async def Session(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        for number in range(MESSAGES):
            yield pb.SessionResponse(data=pb.Data(offset=number))
        if self._code is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.was_cancelled.set()
        elif self._code is not grpc.StatusCode.OK:
            await context.abort(self._code, WHY)

    def __getattr__(self, _: str) -> None:
        """Have no other method."""


@asynccontextmanager
async def called(servicer: Telling) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    add_SerialServiceServicer_to_server(cast(Any, servicer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SerialServiceStub(channel).Session()
    await server.stop(None)


@asynccontextmanager
async def reading(servicer: Telling) -> AsyncIterator[StreamReader[pb.SessionResponse]]:
    async with called(servicer) as call:
        yield StreamReader(call, pb.SessionResponse.FromString)


async def read_all(reader: StreamReader[pb.SessionResponse]) -> list[int]:
    messages = [await reader.read() for _ in range(MESSAGES)]
    return [message.data.offset for message in messages if message is not None]


async def test_all_messages_come_in_order_and_the_end_stays_the_end() -> None:
    async with asyncio.timeout(30), reading(Telling(grpc.StatusCode.OK)) as reader:
        assert await read_all(reader) == list(range(MESSAGES))
        assert await reader.read() is None
        assert await reader.read() is None


async def test_the_status_of_a_stream_that_was_ended_is_raised() -> None:
    async with asyncio.timeout(30), reading(Telling(grpc.StatusCode.PERMISSION_DENIED)) as reader:
        await read_all(reader)
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await reader.read()
            assert (raised.value.code(), raised.value.details()) == (
                grpc.StatusCode.PERMISSION_DENIED,
                WHY,
            )


async def test_a_reader_that_is_cancelled_ends_its_call() -> None:
    servicer = Telling(None)
    async with asyncio.timeout(30), reading(servicer) as reader:
        await read_all(reader)
        task = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await servicer.was_cancelled.wait()


async def test_a_cancelled_stream_takes_and_gives_nothing_more() -> None:
    async with asyncio.timeout(30), called(Telling(None)) as call:
        stream = SessionStream(call)
        await stream.receive()
        stream.cancel()
        with pytest.raises(EOFError):
            await stream.send(SendCommand(1, 0, b"G1 X1\n", 0))
        with pytest.raises(EOFError):
            await stream.receive()
