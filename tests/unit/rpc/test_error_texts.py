"""What gRPC says of itself never reaches a person as it is; what our services say does."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from usbshare.base.errors import PermissionDeniedError
from usbshare.rpc.status import NAME_KEY, error_from_rpc, reason_of

CODE = grpc.StatusCode
# As seen of gRPC 1.78 to 1.85.
RAW = [
    (
        CODE.UNAVAILABLE,
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:50851: "
        "Failed to connect to remote host: connect: Connection refused (111)",
        "nothing listens there",
    ),
    (
        CODE.UNAVAILABLE,
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:50051: "
        "Failed to connect to remote host: connect: No route to host (113)",
        "there is no route to it",
    ),
    (
        CODE.UNAVAILABLE,
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:50051: "
        "connect: Timeout occurred: FD Shutdown",
        "no answer in time",
    ),
    (
        CODE.UNAVAILABLE,
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:50051: "
        "Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: WRONG_VERSION_NUMBER",
        "no TLS connection can be established",
    ),
    (
        CODE.UNAVAILABLE,
        "DNS resolution failed for laser:50051: C-ares status is not ARES_SUCCESS",
        "its name is unknown",
    ),
    (CODE.UNAVAILABLE, "Socket closed", "the connection was closed"),
    (CODE.UNKNOWN, "Stream removed", "the connection was closed"),
    (
        CODE.UNAVAILABLE,
        "Stream removed (Secure read failed (Socket closed))",
        "the connection was closed",
    ),
    (CODE.UNAVAILABLE, "Stream removed (ping timeout)", "the other end stopped answering"),
    (CODE.UNAVAILABLE, "GOAWAY received", "the connection was closed"),
    (CODE.UNAVAILABLE, "something that only gRPC knows", "the connection failed"),
    (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", "no answer in time"),
    (
        CODE.UNIMPLEMENTED,
        "Method not found!",
        "it does not have this call: it is another service, or an older version",
    ),
    (
        CODE.RESOURCE_EXHAUSTED,
        "CLIENT: Received message larger than max (2000000 vs. 1048576)",
        "the message is too long",
    ),
    (CODE.CANCELLED, "Locally cancelled by application!", "the call was aborted"),
    (
        CODE.INTERNAL,
        "internal error; see the service's log",
        "an internal error: see the service's log",
    ),
    (
        CODE.UNKNOWN,
        "Unexpected <class 'KeyError'>: 'x'",
        "the service failed: see its log",
    ),
]


def failed(code: grpc.StatusCode, details: str, *named: tuple[str, str]) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(*named), details)


@pytest.mark.parametrize(("code", "details", "words"), RAW)
def test_texts_of_grpc_are_reported_in_words(
    code: grpc.StatusCode, details: str, words: str
) -> None:
    assert reason_of(failed(code, details)) == words
    assert str(error_from_rpc(failed(code, details))) == words


def test_texts_of_our_services_pass_unchanged() -> None:
    text = "the certificate of transport is revoked"
    error = failed(CODE.PERMISSION_DENIED, text, (NAME_KEY, "PermissionDeniedError"))
    assert str(error_from_rpc(error)) == text
    assert isinstance(error_from_rpc(error), PermissionDeniedError)
    closed = failed(CODE.UNAVAILABLE, "socket closed by hand", (NAME_KEY, "DeviceError"))
    assert reason_of(closed) == "socket closed by hand"
    assert reason_of(failed(CODE.NOT_FOUND, "no port 'x'")) == "no port 'x'"
