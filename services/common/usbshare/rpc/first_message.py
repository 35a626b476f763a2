"""The message that a stream of requests must begin with."""

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
    return first
