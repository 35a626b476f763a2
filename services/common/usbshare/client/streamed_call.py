"""A call whose replies are a stream: read in a block, and ended with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from usbshare.base.errors import UsbshareError


@asynccontextmanager
async def streamed(
    call: Any, explain: Callable[[grpc.aio.AioRpcError], Awaitable[UsbshareError]]
) -> AsyncGenerator[None]:
    """End the call with the block; of a call that fails, raise what `explain` returns."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise await explain(error) from error
    finally:
        call.cancel()
