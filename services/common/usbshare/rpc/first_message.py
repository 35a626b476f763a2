"""How a stream of requests begins: with one message, and then with the service's metadata."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from usbshare.base.errors import InvalidArgumentError

TIMEOUT_S = 10.0


async def first_message(context: grpc.aio.ServicerContext[Any, Any], kind: str) -> Any:
    """Return the first message; raises InvalidArgumentError where it is late, or of another kind.

    `kind`: which field of its oneof `message` it must have.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            first = await context.read()
    except TimeoutError as error:
        raise InvalidArgumentError(f"no `{kind}` message arrived within {TIMEOUT_S:g} s") from error
    if first is grpc.aio.EOF or first.WhichOneof("message") != kind:
        raise InvalidArgumentError(f"the first message of a stream must be `{kind}`")
    await begin_answers(context)
    return first


async def begin_answers(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Send the initial metadata now, so that the stream can end at any time after this.

    Else they go with the first response, and again with a status that comes while that one is being
    written: gRPC refuses it (TOO_MANY_OPERATIONS; `create_send_initial_metadata_op_if_not_sent` in
    grpcio's aio/server.pyx.pxi), and the client waits to its own deadline.
    """
    await context.send_initial_metadata(())
