"""What gRPC and BoringSSL say of a failed handshake, in words for an administrator."""

from __future__ import annotations

import pytest

from usbshare.handshakes.explanations import Weight, reason_of

PREFIX = "UNKNOWN: Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL "
NO_TEXT = "Invalid certificate verification context: OK"


def of(name: str, text: str = NO_TEXT) -> str:
    return f"{PREFIX}routines:OPENSSL_internal:{name}: {text}"


def unverified(text: str) -> str:
    return of("CERTIFICATE_VERIFY_FAILED", f"{text}: OK")


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        (unverified("certificate has expired"), "expired"),
        (unverified("certificate is not yet valid"), "not yet valid"),
        (unverified("unsupported certificate purpose"), "wrong usage"),
        (unverified("invalid CA certificate"), "forged"),
        (unverified("certificate signature failure"), "forged"),
        (unverified("self signed certificate"), "self-signed"),
        (unverified("self signed certificate in certificate chain"), "other authority"),
        (unverified("unable to get local issuer certificate"), "other authority"),
        (of("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no certificate"),
        (of("UNSUPPORTED_PROTOCOL"), "old TLS"),
        (of("NO_SHARED_CIPHER"), "no cipher"),
        (of("WRONG_VERSION_NUMBER"), "plaintext"),
        (of("HTTP_REQUEST"), "plaintext"),
        (of("TLSV1_ALERT_UNKNOWN_CA"), "refused us"),
        ("UNKNOWN: Cannot check peer: missing selected ALPN property.", "not HTTP/2"),
        ("UNAVAILABLE: Handshake read failed (Endpoint closing)", "slow"),
        ("UNAVAILABLE: Handshake read failed (FD Shutdown (endpoint shutdown))", "slow"),
        ("NO_RENEGOTIATION", "renegotiation"),
        ("INTERNAL: something new", "other"),
    ],
)
def test_a_reason_is_recognised(why: str, kind: str) -> None:
    reason = reason_of(why)
    assert reason.kind == kind
    assert reason.weight is Weight.ATTEMPT


@pytest.mark.parametrize("what", ["Socket closed", "recvmsg:Connection reset by peer (104)"])
def test_a_caller_that_leaves_is_no_attempt(what: str) -> None:
    assert reason_of(f"UNAVAILABLE: Handshake read failed ({what})").weight is Weight.CALLED_OFF


@pytest.mark.parametrize(
    ("why", "detail"),
    [
        (unverified("excluded subtree violation"), "(excluded subtree violation)"),
        (of("DECODE_ERROR"), "(DECODE_ERROR)"),
        ("INTERNAL: something new", "(INTERNAL: something new)"),
    ],
)
def test_an_unknown_reason_is_quoted(why: str, detail: str) -> None:
    assert detail in reason_of(why).text
