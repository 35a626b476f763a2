"""What interceptors need to wrap an RPC's handler, of any of the four kinds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

# Strings: these classes are generic in their stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[..., Any]


def wrapped(handler: Handler, wrap: Callable[[Behaviour], Behaviour]) -> Handler:
    """Return the same handler with its behaviour wrapped."""
    make, behaviour = _maker_and_behaviour(handler)
    return make(
        wrap(behaviour),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


async def run_single(behaviour: Behaviour, request: Any, context: Context) -> Any:
    """Return the one response of a behaviour; a plain function runs on the event loop."""
    response = behaviour(request, context)
    return await response if inspect.isawaitable(response) else response


async def run_stream(behaviour: Behaviour, request: Any, context: Context) -> None:
    """Run a behaviour that writes its responses, or yields them."""
    responses = behaviour(request, context)
    if not inspect.isasyncgen(responses):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


def _maker_and_behaviour(handler: Handler) -> tuple[Callable[..., Handler], Any]:
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary
