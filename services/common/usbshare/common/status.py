"""The one table between domain errors and gRPC statuses, for both sides."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from usbshare.common import errors
from usbshare.common.errors import UsbshareError

_log = logging.getLogger(__name__)
_INTERNAL_TEXT = "internal error; see the service's log"
# Several errors share a code; this trailing metadatum tells a client which one it was.
_NAME_KEY = "usbshare-error"

_CODES: dict[type[UsbshareError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.PortHeldError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PortLatchedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeviceError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.SessionLostError: grpc.StatusCode.UNAVAILABLE,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotSupportedError: grpc.StatusCode.UNIMPLEMENTED,
}
_NAMED = {error.__name__: error for error in _CODES}
_UNNAMED: dict[grpc.StatusCode, type[UsbshareError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.PermissionDeniedError,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotSupportedError,
    grpc.StatusCode.UNAVAILABLE: errors.ConnectionRefusedByPeerError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.ConnectionRefusedByPeerError,
}

# Strings: these classes are generic in their stubs only.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def code_of(error: UsbshareError) -> grpc.StatusCode:
    """Return the status of a domain error; INTERNAL for those that must not reach a client."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def error_from_rpc(error: grpc.aio.AioRpcError) -> UsbshareError:
    """Return the domain error that a failed RPC stands for, with the service's text."""
    kind = _named_kind(error) or _UNNAMED.get(error.code(), UsbshareError)
    return kind(error.details() or error.code().value[1])


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a servicer raises into a status, for all four kinds of RPC.

    Servicers are coroutines or async generators; a plain function runs on the event loop.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the method's handler, if there is such a method."""
        handler = await continuation(handler_call_details)
        return None if handler is None else _guarded(handler, handler_call_details.method)


def _guarded(handler: _Handler, method: str) -> _Handler:
    make, behaviour = _maker_and_behaviour(handler)
    wrap = _guard_stream if handler.response_streaming else _guard_single
    return make(
        wrap(behaviour, method),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _maker_and_behaviour(handler: _Handler) -> tuple[Callable[..., _Handler], Any]:
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary


def _guard_single(behaviour: Callable[..., Any], method: str) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: _Context) -> Any:
        try:
            response = behaviour(request, context)
            return await response if inspect.isawaitable(response) else response
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guard_stream(behaviour: Callable[..., Any], method: str) -> Callable[..., Awaitable[None]]:
    async def call(request: Any, context: _Context) -> None:
        try:
            await _run_stream(behaviour(request, context), context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


async def _run_stream(responses: Any, context: _Context) -> None:
    if not inspect.isasyncgen(responses):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


async def _abort(context: _Context, error: Exception, method: str) -> NoReturn:
    domain = _domain_error(error)
    code = grpc.StatusCode.INTERNAL if domain is None else code_of(domain)
    if isinstance(error, NotImplementedError) and _is_unimplemented(context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not implemented")
    if code is grpc.StatusCode.INTERNAL:
        _log.error("%s failed", method, exc_info=error)
        await context.abort(code, _INTERNAL_TEXT)
    name = type(domain).__name__
    await context.abort(code, str(domain), ((_NAME_KEY, name),))


def _domain_error(error: BaseException) -> UsbshareError | None:
    # A task group wraps what one of its tasks raised.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DecodeError):
        return errors.InvalidArgumentError("the bytes are no message of this RPC")
    return error if isinstance(error, UsbshareError) else None


def _is_unimplemented(context: _Context) -> bool:
    # Set by the generated base just before it raises; our own NotImplementedError is a bug.
    return context.code() is grpc.StatusCode.UNIMPLEMENTED


def _named_kind(error: grpc.aio.AioRpcError) -> type[UsbshareError] | None:
    metadata = error.trailing_metadata()
    name = None if metadata is None else metadata.get(_NAME_KEY)
    return _NAMED.get(name) if isinstance(name, str) else None
