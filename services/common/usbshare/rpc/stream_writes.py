"""Writes to a stream whose server may have ended it already."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message

_ENDED = "the stream has ended"


async def write(call: Any, message: Message) -> None:
    """Write a message; raises AioRpcError with the server's status, InvalidStateError after that.

    grpcio's own `write` replaces a status that is on its way by INTERNAL, "Internal error from
    Core", when the server ended the call a moment before (grpc/aio/_call.py, `_write`).
    """
    try:
        if not call._metadata_sent.is_set():
            await call.wait_for_connection()
        stream = call._cython_call
        if stream.done():
            raise asyncio.InvalidStateError(_ENDED)
        await stream.send_serialized_message(message.SerializeToString())
    except grpc.aio.InternalError as error:
        await _raise_status(call, error)
    except asyncio.CancelledError:
        call.cancel()
        raise


async def _raise_status(call: Any, error: grpc.aio.InternalError) -> None:
    code = await call.code()
    if code is grpc.StatusCode.OK:
        raise asyncio.InvalidStateError(_ENDED) from error
    raise grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    ) from error
