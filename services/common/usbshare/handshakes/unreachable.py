"""Why a target cannot be reached, in words: gRPC itself only says UNAVAILABLE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509

from usbshare.base.errors import (
    ConfigError,
    ConnectionRefusedByPeerError,
    PeerRefusesError,
)
from usbshare.base.threads import in_thread
from usbshare.handshakes.probe import Finding, Probe, probe
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ENROL_ANEW, ClientBundle
from usbshare.trust import certificates
from usbshare.trust.shown_certificate import read_shown

_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64  # X509_V_ERR_… of OpenSSL
_MOST_NAMES = 12

_TEXTS = {
    Finding.UNRESOLVED: "the name of {target} is unknown: check its spelling, or give the host's "
    "IP address",
    Finding.REFUSED: "nothing listens at {target}: is the service running on the host "
    "(`make run-services`), and at this port?",
    Finding.NO_CONNECTION: "{target} does not answer: is the host on and in this network, and "
    "does its firewall let the port through?",
    Finding.UNREACHABLE: "{target} cannot be reached ({detail}): check the network, and the "
    "host's address",
    Finding.SILENT: "{target} accepts the connection but does not answer: another program may "
    "be using this port, or the service is stuck; restart it",
    Finding.PLAINTEXT_THERE: "{target} speaks plaintext, but this side requires TLS: start the "
    "service without --insecure, or (on one computer only) this side "
    "with --insecure",
    Finding.TLS_THERE: (
        "{target} requires TLS, but this side speaks plaintext: leave out --insecure"
    ),
    Finding.NOT_GRPC: "the program at {target} is not usbshare: check the port, "
    "and behind a tunnel whether the service runs",
}
_REFUSALS = frozenset(
    {
        Finding.SERVER_UNTRUSTED,
        Finding.CLIENT_UNTRUSTED,
        Finding.PLAINTEXT_THERE,
        Finding.TLS_THERE,
    }
)
# Parts of the alerts that other servers send; gRPC's own closes without one.
_ALERTS = {
    "UNKNOWN_CA": f"it belongs to another site: {ENROL_ANEW}",
    "CERTIFICATE_EXPIRED": f"it has expired by the host's clock: {ENROL_ANEW}",
    "CERTIFICATE_REQUIRED": f"it did not arrive: {ENROL_ANEW}",
    "CERTIFICATE_REVOKED": "it was revoked: ask the host's operator for a new one",
    "PROTOCOL_VERSION": "the two sides have no TLS version in common: update both",
}


async def why_unreachable(
    target: Target, bundle: ClientBundle | None, timeout_s: float = 5.0
) -> str | None:
    """Return in one line why the target does not serve us and what to do; None if it does."""
    error = await unreachable(target, bundle, timeout_s)
    return None if error is None else str(error)


async def unreachable(
    target: Target, bundle: ClientBundle | None, timeout_s: float = 5.0
) -> ConnectionRefusedByPeerError | None:
    """Return the error of a target that does not serve us, None if it does.

    PeerRefusesError if it answers.
    """
    try:
        async with asyncio.timeout(timeout_s):  # `wait_for` of Python 3.11 may lose a cancellation
            # The probe ends before us, so that its more exact answer is the one that is heard.
            result = await in_thread(probe, target, bundle, timeout_s * 0.8)
    except TimeoutError:
        return ConnectionRefusedByPeerError(_TEXTS[Finding.NO_CONNECTION].format(target=target))
    except ConfigError as error:
        return ConnectionRefusedByPeerError(str(error))
    if (why := explain(result, target, bundle)) is None:
        return None
    refuses = result.finding in _REFUSALS
    return PeerRefusesError(why) if refuses else ConnectionRefusedByPeerError(why)


def explain(result: Probe, target: Target, bundle: ClientBundle | None) -> str | None:
    """Return what a probe that was made with the bundle means; None if all is well."""
    if result.finding is Finding.ANSWERS:
        return None
    if bundle is not None and result.finding is Finding.SERVER_UNTRUSTED:
        return _explain_server(result, target, bundle)
    if bundle is not None and result.finding is Finding.CLIENT_UNTRUSTED:
        return f"{target} refuses the certificate in {bundle.path}: {_why_refused(result, bundle)}"
    return _TEXTS[result.finding].format(target=target, detail=result.detail)


def _explain_server(result: Probe, target: Target, bundle: ClientBundle) -> str:
    if explain := _SERVER_TEXTS.get(result.verify_code):
        return explain(result, target)
    return f"{target} and {bundle.path} belong to different sites ({result.detail}): {ENROL_ANEW}"


def _explain_expired(result: Probe, target: Target) -> str:
    shown = result.certificate
    end = f" on {shown.not_valid_after_utc:%Y-%m-%d}" if shown else ""
    return (
        f"the certificate of {target} expired{end}: restart the service there, which renews it; "
        "if that date is in the future, set the clock of this computer"
    )


def _explain_too_early(result: Probe, target: Target) -> str:
    shown = result.certificate
    start = f"only from {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if shown else "not yet"
    return f"the certificate of {target} is valid {start}: set the clocks of both computers"


def _explain_name(result: Probe, target: Target) -> str:
    shown = "other names" if result.certificate is None else _shown_names(result.certificate)
    wanted = target.certified_name
    return (
        f"the certificate of {target} is not for {wanted!r} but for {shown}: "
        f"use one of them, or add {wanted!r} to `[tls] names` on the host"
    )


def _shown_names(certificate: x509.Certificate) -> str:
    dns, addresses = certificates.subject_names(certificate)
    names = [*sorted(dns), *sorted(addresses)]
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "no name") + more


_SERVER_TEXTS: dict[int, Callable[[Probe, Target], str]] = {
    _EXPIRED: _explain_expired,
    _NOT_YET_VALID: _explain_too_early,
    _OTHER_NAME: _explain_name,
    _OTHER_ADDRESS: _explain_name,
}


def _why_refused(result: Probe, bundle: ClientBundle) -> str:
    if trouble := _own_trouble(bundle, datetime.now(UTC)):
        return trouble
    for alert, text in _ALERTS.items():
        if alert in result.detail:
            return text
    if problem := read_shown(bundle.chain).problem:
        return f"it {problem}"
    return (
        f"it may belong to an older site, or the host's clock may be wrong: {ENROL_ANEW}, or "
        "check that clock"
    )


def _own_trouble(bundle: ClientBundle, now: datetime) -> str:
    """Return what anybody would find wrong with the bundle's certificate, or ""."""
    certificate = x509.load_pem_x509_certificate(bundle.chain)
    if bundle.expires < now:
        return f"it expired on {bundle.expires:%Y-%m-%d}: {ENROL_ANEW}"
    if (start := certificate.not_valid_before_utc) > now:
        return f"it is valid only from {start:%Y-%m-%d %H:%M} UTC: set the clocks of both computers"
    if certificates.is_issued_by(certificate, certificate):
        return f"it is self-signed, not signed by the site: {ENROL_ANEW}"
    return (
        ""
        if bundle.is_consistent
        else f"it belongs to another site than the CA certificate beside it: {ENROL_ANEW}"
    )
