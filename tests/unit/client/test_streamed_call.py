"""A stream of replies ends with the block that reads it, however that ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
import pytest

from usbshare.base.errors import SessionLostError, UsbshareError
from usbshare.client.streamed_call import streamed

FAILURE = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"
)


class Call:
    """Remembers whether it was cancelled."""

    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


async def explain(error: grpc.aio.AioRpcError) -> UsbshareError:
    return SessionLostError(f"explained: {error.details()}")


async def replies(call: Call) -> AsyncGenerator[int]:
    async with streamed(call, explain):
        yield 1
        raise FAILURE


async def test_a_reader_that_leaves_ends_the_call_at_once() -> None:
    call = Call()
    async with aclosing(replies(call)) as reading:
        assert await anext(reading) == 1
        assert not call.is_cancelled
    assert call.is_cancelled


async def test_a_call_that_fails_says_why_and_is_ended() -> None:
    call = Call()
    with pytest.raises(SessionLostError, match="explained: gone"):
        [each async for each in replies(call)]
    assert call.is_cancelled


async def test_another_error_passes_as_it_is() -> None:
    call = Call()
    with pytest.raises(ValueError, match="broken"):
        async with streamed(call, explain):
            raise ValueError("broken")
    assert call.is_cancelled
