"""A stream's requests, read no faster than its caller's limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

# Counts what was read (messages, bytes); returns for how many seconds to read nothing more.
Pace = Callable[[int, int], float]


class PacedContext:
    """A servicer's context; `read` waits before it reads on, not before it returns what it read.

    What the client sends meanwhile fills HTTP/2's window, and then waits at the client.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], pace: Pace) -> None:
        self._context = context
        self._pace = pace
        self._last: Any = grpc.aio.EOF
        self._read = context.read
        self.write = context.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Return the next request, or EOF."""
        # Counted once it has been handled: what it asks for does not wait for that.
        last = self._last
        if last is not grpc.aio.EOF and (wait_s := self._pace(1, last.ByteSize())):
            await asyncio.sleep(wait_s)
        self._last = request = await self._read()
        return request


async def paced_requests(requests: AsyncIterator[Any], pace: Pace) -> AsyncIterator[Any]:
    """Give a stream's requests, waiting before each where the one before came early."""
    async for request in requests:
        wait_s = pace(1, request.ByteSize())
        yield request
        if wait_s:
            await asyncio.sleep(wait_s)
