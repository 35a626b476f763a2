"""What surrounds every RPC: the interceptor that turns errors into statuses, and its tools."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.rpc.status import NAME_KEY, code_of

# Strings: these classes are generic in their stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[..., Any]

_log = logging.getLogger(__name__)
_INTERNAL_TEXT = "internal error; see the service's log"


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a servicer raises into a status, for all four kinds of RPC.

    Servicers are coroutines or async generators; a plain function runs on the event loop.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the method's handler, if there is such a method."""
        handler = await continuation(handler_call_details)
        return None if handler is None else _guarded(handler, handler_call_details.method)


def _guarded(handler: Handler, method: str) -> Handler:
    guard = _guard_stream if handler.response_streaming else _guard_single
    return wrapped(handler, lambda behaviour: guard(behaviour, method))


def _guard_single(behaviour: Behaviour, method: str) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        try:
            return await run_single(behaviour, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guard_stream(behaviour: Behaviour, method: str) -> Callable[..., Awaitable[None]]:
    async def call(request: Any, context: Context) -> None:
        try:
            await run_stream(behaviour, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


async def _abort(context: Context, error: Exception, method: str) -> NoReturn:
    domain = _domain_error(error)
    code = grpc.StatusCode.INTERNAL if domain is None else code_of(domain)
    if isinstance(error, NotImplementedError) and _is_unimplemented(context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not implemented")
    if code is grpc.StatusCode.INTERNAL:
        _log.error("%s failed", method, exc_info=error)
        await context.abort(code, _INTERNAL_TEXT)
    name = type(domain).__name__
    await context.abort(code, str(domain), ((NAME_KEY, name),))


def _domain_error(error: BaseException) -> UsbshareError | None:
    # A task group wraps what one of its tasks raised.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DecodeError):
        return errors.InvalidArgumentError("the bytes are not a message of this RPC")
    return error if isinstance(error, UsbshareError) else None


def _is_unimplemented(context: Context) -> bool:
    # Set by the generated base just before it raises; our own NotImplementedError is a bug.
    return context.code() is grpc.StatusCode.UNIMPLEMENTED


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
