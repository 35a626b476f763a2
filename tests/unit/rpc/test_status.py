"""The table between errors and statuses is whole."""

from __future__ import annotations

import inspect

import grpc
import pytest

from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.rpc.error_texts import in_words
from usbshare.rpc.status import code_of, error_from_rpc

ON_THE_WIRE = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.PortHeldError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PortLatchedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.WrongStateError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProfileError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ConfirmationNeededError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RulesUnavailableError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AuditUnavailableError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeviceError: grpc.StatusCode.UNAVAILABLE,
    errors.DeviceAbsentError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.SessionLostError: grpc.StatusCode.UNAVAILABLE,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotSupportedError: grpc.StatusCode.UNIMPLEMENTED,
}
NEVER_ON_THE_WIRE = {
    UsbshareError,
    errors.ConfigError,
    errors.UnreadableError,
    errors.ConnectionRefusedByPeerError,
    errors.PeerRefusesError,
}


def test_every_error_has_its_status_or_stays_here() -> None:
    every = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    assert every == set(ON_THE_WIRE) | NEVER_ON_THE_WIRE
    assert {kind: code_of(kind("")) for kind in ON_THE_WIRE} == ON_THE_WIRE
    assert {code_of(kind("")) for kind in NEVER_ON_THE_WIRE} == {grpc.StatusCode.INTERNAL}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.ConnectionRefusedByPeerError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.ConnectionRefusedByPeerError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.PermissionDeniedError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotSupportedError),
        (grpc.StatusCode.INTERNAL, UsbshareError),
    ],
)
def test_statuses_of_grpc_itself_have_an_error(
    code: grpc.StatusCode, kind: type[UsbshareError]
) -> None:
    named = grpc.aio.Metadata(("usbshare-error", "NoSuchError"))
    for metadata in (None, grpc.aio.Metadata(), named):
        error = error_from_rpc(grpc.aio.AioRpcError(code, None, metadata, details="why"))
        assert type(error) is kind
        assert str(error) == ("why" if metadata is named else in_words(code, "why"))
