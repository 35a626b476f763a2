"""Reads from a stream of responses, with less between the network and its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

T = TypeVar("T")


class StreamReader(Generic[T]):
    """Reads one call's responses as `call.read` does, six Python calls a message less.

    The first message and the end of the stream are read by grpcio (grpc/aio/_call.py, `read`),
    which waits for the call to begin, and raises the server's status.
    """

    def __init__(self, call: Any, unpack: Callable[[bytes], T]) -> None:
        self._call = call
        self._unpack = unpack
        self._has_begun = False

    async def read(self) -> T | None:
        """Return the next response, None at the end; raises AioRpcError with the status."""
        if self._has_begun:
            try:
                packed = await self._call._cython_call.receive_serialized_message()
            except asyncio.CancelledError:
                self._call.cancel()
                raise
            if packed is not grpc.aio.EOF:
                return self._unpack(packed)
        message = await self._call.read()
        self._has_begun = True
        return None if message is grpc.aio.EOF else message
