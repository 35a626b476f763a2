"""What gRPC says of a connection or a call, in words for people.

Texts of usbshare's own services pass as they are; they carry the name of their error.
"""

from __future__ import annotations

import grpc

NO_METHOD = "Method not found!"

_CLOSED = "the connection was closed"
_NO_ANSWER = "no answer in time"
_SILENT = "the other end stopped answering"
_NO_TLS = "no TLS connection can be established"
# Parts of gRPC's texts, in lower case; the first that fits counts.
_MEANINGS = (
    ("connection refused", "nothing listens there"),
    ("no route to host", "there is no route to it"),
    ("network is unreachable", "its network cannot be reached"),
    ("host is down", "the host is down"),
    ("dns resolution failed", "its name is unknown"),
    ("domain name not found", "its name is unknown"),
    ("name resolution", "its name is unknown"),
    ("handshake", _NO_TLS),
    ("certificate", _NO_TLS),
    ("ssl_error", _NO_TLS),
    ("wrong_version_number", _NO_TLS),
    ("tls", _NO_TLS),
    ("keepalive watchdog", _SILENT),
    ("ping timeout", _SILENT),
    ("timed out", _NO_ANSWER),
    ("timeout", _NO_ANSWER),
    ("fd shutdown", _NO_ANSWER),
    ("deadline", _NO_ANSWER),
    ("larger than max", "the message is too long"),
    ("concurrent rpc limit", "the service has too many calls at once"),
    (NO_METHOD.lower(), "it does not have this call: it is another service, or an older version"),
    ("not implemented", "it does not have this call: it is older than this program"),
    ("socket closed", _CLOSED),
    ("stream removed", _CLOSED),
    ("connection reset", _CLOSED),
    ("broken pipe", _CLOSED),
    ("goaway", _CLOSED),
    ("connection dropped", _CLOSED),
    ("transport", _CLOSED),
    ("channel", _CLOSED),
    ("endpoint", _CLOSED),
)
_BY_CODE = {
    grpc.StatusCode.UNAVAILABLE: "the connection failed",
    grpc.StatusCode.DEADLINE_EXCEEDED: _NO_ANSWER,
    grpc.StatusCode.CANCELLED: "the call was aborted",
    grpc.StatusCode.UNAUTHENTICATED: "the host does not know the identity of this computer",
    grpc.StatusCode.UNIMPLEMENTED: "it does not have this call: it is older than this program",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "one of its limits is exceeded",
    grpc.StatusCode.INTERNAL: "an internal error: see the service's log",
    grpc.StatusCode.UNKNOWN: "the service failed: see its log",
}


def in_words(code: grpc.StatusCode, details: str) -> str:
    """Return the meaning of a status that gRPC itself made."""
    if code not in _BY_CODE:  # gRPC itself makes no others: what is there, somebody wrote
        return details or code.value[1]
    text = details.lower()
    return next((meaning for part, meaning in _MEANINGS if part in text), _BY_CODE[code])
