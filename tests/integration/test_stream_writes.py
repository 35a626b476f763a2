"""A client that writes to a stream which the server has just ended is told the server's reason."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from fakes.loop_thread import LoopThread
from usbshare.rpc.stream_writes import write
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import (
    SerialServiceStub,
    add_SerialServiceServicer_to_server,
)

LONGEST_WAY_S = 0.5
WHY = "revoked"


class Refusing:
    """Ends every session at its first message."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code
        self.has_ended = threading.Event()

    async def Session(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            break
        self.has_ended.set()
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, WHY)
        if not self.has_ended.is_set():
            yield pb.SessionResponse()

    def __getattr__(self, _: str) -> None:
        """Have no other method."""


@asynccontextmanager
async def serving(servicer: Refusing) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_SerialServiceServicer_to_server(cast(Any, servicer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.end()


async def written_after_the_end(
    servicer: Refusing, target: str
) -> tuple[Exception | None, grpc.StatusCode]:
    """Write once more when the status has come but has not been read; return what came of it."""
    raised: Exception | None = None
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = SerialServiceStub(channel).Session()
        await write(call, pb.SessionRequest())
        servicer.has_ended.wait()
        time.sleep(LONGEST_WAY_S)  # noqa: ASYNC251  # the loop must not see the status arrive
        try:
            await write(call, pb.SessionRequest())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raised = error
        return raised, await call.code()


async def test_a_refusal_that_crosses_a_write_keeps_its_reason(loop: LoopThread) -> None:
    servicer = Refusing(grpc.StatusCode.PERMISSION_DENIED)
    with loop.within(serving(servicer)) as target:
        raised, code = await written_after_the_end(servicer, target)
    assert isinstance(raised, grpc.aio.AioRpcError)
    assert (raised.code(), raised.details(), code) == (servicer.code, WHY, servicer.code)


async def test_an_end_that_crosses_a_write_is_no_error_of_the_server(loop: LoopThread) -> None:
    servicer = Refusing(grpc.StatusCode.OK)
    with loop.within(serving(servicer)) as target:
        raised, code = await written_after_the_end(servicer, target)
    assert isinstance(raised, asyncio.InvalidStateError)
    assert code is grpc.StatusCode.OK


async def test_a_write_that_is_no_longer_awaited_ends_the_call(loop: LoopThread) -> None:
    servicer = Refusing(grpc.StatusCode.OK)
    with loop.within(serving(servicer)) as target:
        async with grpc.aio.insecure_channel(target) as channel:
            call: Any = SerialServiceStub(channel).Session()
            writing = asyncio.create_task(write(call, pb.SessionRequest()))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert await call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.OK}
