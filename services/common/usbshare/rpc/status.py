"""The one table between domain errors and gRPC statuses, for both sides."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.rpc.rpc_errors import CODES, NAME_KEY
from usbshare.rpc.rpc_handlers import (
    Behaviour,
    Context,
    Handler,
    run_single,
    run_stream,
    wrapped,
)

_log = logging.getLogger(__name__)
_INTERNAL_TEXT = "internal error; see the service's log"


def code_of(error: UsbshareError) -> grpc.StatusCode:
    """Return the status of a domain error; INTERNAL for those that must not reach a client."""
    return CODES.get(type(error), grpc.StatusCode.INTERNAL)


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
        return errors.InvalidArgumentError("the bytes are no message of this RPC")
    return error if isinstance(error, UsbshareError) else None


def _is_unimplemented(context: Context) -> bool:
    # Set by the generated base just before it raises; our own NotImplementedError is a bug.
    return context.code() is grpc.StatusCode.UNIMPLEMENTED
