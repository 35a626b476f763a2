"""The one table between domain errors and gRPC statuses, for both sides.

It imports nothing but gRPC, since a stop comes by here.
"""

from __future__ import annotations

import logging
from typing import TypeAlias

import grpc

from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.rpc.error_texts import NO_METHOD, in_words

_log = logging.getLogger(__name__)

# Several errors share a code; this trailing metadata entry says which one it was.
NAME_KEY = "usbshare-error"

RpcError: TypeAlias = grpc.aio.AioRpcError

CODES: dict[type[UsbshareError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.PortHeldError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PortLatchedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.WrongStateError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProfileError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ConfirmationNeededError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AuditUnavailableError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RulesUnavailableError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeviceError: grpc.StatusCode.UNAVAILABLE,
    errors.DeviceAbsentError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.SessionLostError: grpc.StatusCode.UNAVAILABLE,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotSupportedError: grpc.StatusCode.UNIMPLEMENTED,
}
_NAMED = {error.__name__: error for error in CODES}
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


def code_of(error: UsbshareError) -> grpc.StatusCode:
    """Return the status of a domain error; INTERNAL for those that must not reach a client."""
    return CODES.get(type(error), grpc.StatusCode.INTERNAL)


def error_from_rpc(error: RpcError) -> UsbshareError:
    """Return the domain error of a failed RPC, with the service's text or ours."""
    kind = _named_kind(error) or _UNNAMED.get(error.code(), UsbshareError)
    return kind(reason_of(error))


def reason_of(error: RpcError) -> str:
    """Return why an RPC failed: in the service's words, else in ours for what gRPC says."""
    details = error.details() or ""
    if details and _name(error):  # a newer service may name an error that is unknown here
        return details
    _log.debug("gRPC says %s: %s", error.code().name, details)
    return in_words(error.code(), details)


def is_of_another_service(error: RpcError) -> bool:
    """Return whether the server has no such RPC at all: it is another service, or an older one."""
    return error.code() is grpc.StatusCode.UNIMPLEMENTED and error.details() == NO_METHOD


def _named_kind(error: RpcError) -> type[UsbshareError] | None:
    return _NAMED.get(_name(error))


def _name(error: RpcError) -> str:
    """Return the name that a service of ours gave its error, empty for what gRPC says."""
    metadata = error.trailing_metadata()
    name = None if metadata is None else metadata.get(NAME_KEY)
    return name if isinstance(name, str) else ""
