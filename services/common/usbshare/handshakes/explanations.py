"""Why a handshake failed, in words for who runs the host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

_ENROL = "enrol that computer here with `serial-svc pki invite`"
_NO_CIPHER = "it has no cipher in common with this host: update the program there"
_SLOW = "it did not finish its handshake in time"
_FORGED = "its certificate is forged or damaged: its signature does not match"
_NOT_SIGNER = "its certificate was signed with a certificate that must not sign: it is a forgery"
_DISTRUST = (
    "it refuses this host's certificate ({detail}): it belongs to another site, asks for a "
    "name that is not in `[tls] names`, or its clock is wrong"
)
_STRANGER = "its certificate was issued by another authority than this site's: "


class Weight(Enum):
    """How much an administrator wants to know of it."""

    ATTEMPT = auto()  # somebody wanted in
    CALLED_OFF = auto()  # connected and left, as port scanners and monitors do


@dataclass(frozen=True, slots=True)
class Reason:
    """What went wrong, and what to do; `kind` is a short, fixed name for programs."""

    kind: str
    text: str
    weight: Weight = Weight.ATTEMPT


# The first whose key is part of what gRPC says; most are names and texts of BoringSSL's.
_REASONS: tuple[tuple[str, Reason], ...] = (
    (
        "certificate has expired",
        Reason("expired", f"its certificate has expired by this computer's clock: {_ENROL} again"),
    ),
    (
        "certificate is not yet valid",
        Reason(
            "not yet valid",
            "its certificate is not valid yet by this computer's clock: set both clocks",
        ),
    ),
    (
        "unsupported certificate purpose",
        Reason("wrong usage", f"its certificate is not for clients: {_ENROL}"),
    ),
    ("invalid CA certificate", Reason("forged", _NOT_SIGNER)),
    ("path length constraint", Reason("forged", _NOT_SIGNER)),
    ("certificate signature failure", Reason("forged", _FORGED)),
    (
        "self signed certificate in certificate chain",
        Reason("other authority", f"{_STRANGER}{_ENROL}"),
    ),
    (
        "self signed certificate",
        Reason("self-signed", f"its certificate is self-signed, not signed by this site: {_ENROL}"),
    ),
    (
        "unable to get local issuer certificate",
        Reason("other authority", f"{_STRANGER}{_ENROL}"),
    ),
    ("unable to verify the first certificate", Reason("other authority", f"{_STRANGER}{_ENROL}")),
    (
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
        Reason("no certificate", f"it presented no certificate: {_ENROL}"),
    ),
    (
        "KEY_USAGE_BIT_INCORRECT",
        Reason("wrong usage", f"its certificate's key may not be used to authenticate: {_ENROL}"),
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        Reason("bad certificate", f"its certificate is not valid ({{detail}}): {_ENROL}"),
    ),
    (
        "BAD_SIGNATURE",
        Reason(
            "no key",
            "it does not have the key of the certificate that it presented: it is an impostor",
        ),
    ),
    (
        "UNSUPPORTED_PROTOCOL",
        Reason(
            "old TLS", "it speaks only TLS before 1.2, which is unsafe: update the program there"
        ),
    ),
    ("NO_SHARED_CIPHER", Reason("no cipher", _NO_CIPHER)),
    ("NO_SHARED_GROUP", Reason("no cipher", _NO_CIPHER)),
    ("NO_COMMON_SIGNATURE_ALGORITHMS", Reason("no cipher", _NO_CIPHER)),
    (
        "WRONG_CURVE",
        Reason("weak key", f"its certificate has a type of key that is not allowed here: {_ENROL}"),
    ),
    (
        "NO_RENEGOTIATION",
        Reason("renegotiation", "it tried to renegotiate, which is not allowed here"),
    ),
    (
        "ALPN",
        Reason("not HTTP/2", "it speaks TLS, but not HTTP/2: a browser, or another program"),
    ),
    (
        "HTTP_REQUEST",
        Reason("plaintext", "it speaks plain HTTP: a browser, or a program at the wrong port"),
    ),
    (
        "HTTPS_PROXY_REQUEST",
        Reason("plaintext", "it takes this port for a proxy: a program at the wrong port"),
    ),
    (
        "WRONG_VERSION_NUMBER",
        Reason(
            "plaintext", "it does not speak TLS: it runs with --insecure, or is another program"
        ),
    ),
    # A client that breaks off in TLS 1.3 before it has its keys: what comes is a plaintext alert.
    ("BAD_PACKET_LENGTH", Reason("refused us", _DISTRUST.replace(" ({detail})", ""))),
    ("_ALERT_", Reason("refused us", _DISTRUST)),
    ("Endpoint closing", Reason("slow", _SLOW)),
    ("endpoint shutdown", Reason("slow", _SLOW)),
    (
        "Handshake read failed",
        Reason("left", "it disconnected before the handshake was complete", Weight.CALLED_OFF),
    ),
    (
        "Handshake write failed",
        Reason("left", "it disconnected before the handshake was complete", Weight.CALLED_OFF),
    ),
    (
        "SSL_ERROR_SSL",
        Reason("broken", "it sent invalid TLS data ({detail})"),
    ),
)
_OTHER = Reason("other", "its handshake failed ({detail})")
_NAME = re.compile(r"OPENSSL_internal:(?P<name>\w+)(?:: (?P<text>[^:]*))?")
_NO_TEXT = "Invalid certificate verification context"  # BoringSSL's, when there is none


def reason_of(why: str) -> Reason:
    """Return the reason for what gRPC says of a failed handshake."""
    found = next((reason for part, reason in _REASONS if part in why), _OTHER)
    return Reason(found.kind, found.text.replace("{detail}", _detail(why)), found.weight)


def _detail(why: str) -> str:
    match = _NAME.search(why)
    if match is None:
        return why[:120]
    text = match["text"] or ""
    return match["name"] if text in {"", _NO_TEXT} else text
