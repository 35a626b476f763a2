"""Errors become statuses and back, over real RPCs of all four kinds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from fakes.certificates import serving
from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.server import make_server
from usbshare.rpc.status import error_from_rpc
from usbshare.serial.v1 import serial_pb2, serial_pb2_grpc

# One loop for all: gRPC delivers what is left of one test in the next one's loop, and stumbles over
# a closed one.
pytestmark = pytest.mark.asyncio(loop_scope="session")

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
# Each pair shares a code, so that only its name tells one from the other.
SHARED_CODES = [
    errors.PortHeldError,
    errors.PortLatchedError,
    errors.DeviceError,
    errors.DrainingError,
    errors.NotSupportedError,
]
Act = Callable[["grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[None]]


def fail_with(error: BaseException) -> Act:
    async def act(_context: Any) -> None:
        raise error

    return act


def handlers(act: Act) -> dict[str, Any]:
    """One method of each kind, which answers `done` after it acted."""

    async def single(_request: Any, context: Any) -> bytes:
        await act(context)
        return b"done"

    async def stream(_request: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await act(context)
        yield b"done"

    make = {kind: getattr(grpc, f"{kind}_rpc_method_handler") for kind in KINDS}
    return {kind: make[kind](stream if kind.endswith("stream") else single) for kind in KINDS}


@asynccontextmanager
async def connected(handlers: dict[str, Any]) -> AsyncIterator[grpc.aio.Channel]:
    server = make_server()
    generic = grpc.method_handlers_generic_handler("test.Service", handlers)
    server.add_generic_rpc_handlers((generic,))
    async with (
        serving(None, server) as port,
        open_channel(Target("127.0.0.1", port), None) as channel,
    ):
        yield channel


async def call(channel: grpc.aio.Channel, kind: str) -> list[bytes]:
    """Call the method of that kind; return every answer."""
    sent = iter([b"x"]) if kind.startswith("stream") else b"x"
    answer = getattr(channel, kind)(f"/test.Service/{kind}")(sent, timeout=20)
    try:
        if kind.endswith("stream"):
            return [response async for response in answer]
        return [await answer]
    finally:
        answer.cancel()  # in some states a cancelled task leaves its RPC running


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("usbshare")]


async def failure(act: Act, kind: str = "unary_unary") -> grpc.aio.AioRpcError:
    async with connected(handlers(act)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
async def test_a_good_call_is_left_alone(kind: str) -> None:
    async def act(_context: Any) -> None:
        await asyncio.sleep(0)

    async with connected(handlers(act)) as channel:
        assert (await call(channel, kind))[-1] == b"done"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_domain_error_carries_its_code_and_text(kind: str) -> None:
    error = await failure(fail_with(errors.NotFoundError("no port 'laser'")), kind)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no port 'laser'")


@pytest.mark.parametrize("kind", SHARED_CODES)
async def test_a_domain_error_arrives_as_itself(kind: type[UsbshareError]) -> None:
    error = error_from_rpc(await failure(fail_with(kind("port 'laser' says no"))))
    assert type(error) is kind
    assert str(error) == "port 'laser' says no"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_logged_and_reveals_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await failure(fail_with(KeyError("secret")), kind)
    text = "internal error; see the service's log"
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, text)
    (record,) = own_records(caplog)
    assert f"/test.Service/{kind}" in record.getMessage()
    assert "KeyError: 'secret'" in caplog.text


async def test_a_configuration_error_stays_on_the_host(caplog: pytest.LogCaptureFixture) -> None:
    error = await failure(fail_with(errors.ConfigError("/etc/secret")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")
    assert "/etc/secret" in caplog.text


async def test_a_domain_error_out_of_a_task_group_is_found() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("more", [errors.LimitError("too many")])])
    assert (await failure(fail_with(group))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_passes_through(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def act(context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(grpc.StatusCode.ABORTED, "mine")

    error = await failure(act, kind)
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "mine")
    assert not own_records(caplog)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_cancels_its_handler(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def act(_context: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with connected(handlers(act)) as channel:
        task = asyncio.create_task(call(channel, kind))
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()
        await asyncio.wait_for(cancelled.wait(), 20)
    assert not own_records(caplog)


async def test_an_rpc_without_implementation_is_unimplemented(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = make_server()
    base = serial_pb2_grpc.SerialServiceServicer()  # type: ignore[abstract]
    serial_pb2_grpc.add_SerialServiceServicer_to_server(base, server)
    async with (
        serving(None, server) as port,
        open_channel(Target("127.0.0.1", port), None) as channel,
    ):
        stub = serial_pb2_grpc.SerialServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as single:
            await stub.GetPort(serial_pb2.GetPortRequest(), timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await stub.Session(iter(()), timeout=20).read()
    assert single.value.code() is stream.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert isinstance(error_from_rpc(single.value), errors.NotSupportedError)
    assert not own_records(caplog)


async def test_our_own_not_implemented_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    error = await failure(fail_with(NotImplementedError("forgotten")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "forgotten" in caplog.text
