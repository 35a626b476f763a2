"""Checks of this computer's client certificate."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.base.paths import client_bundle_path
from usbshare.bridge.checkup.context import Subject
from usbshare.rpc.tls import ENROL_ANEW, ClientBundle
from usbshare.trust.certificate_checks import judge_dates, judge_key_rights

_RENEW = "run `usbshare-bridge renew`; a running bridge renews it automatically"


async def judge_certificate(subject: Subject) -> Judgement:
    """Check whether there is a client certificate, and how long it is valid."""
    wishes = subject.wishes
    if wishes.insecure:
        return warning(
            "none: plaintext, the connection is not authenticated", "leave out --insecure"
        )
    path = wishes.bundle or wishes.defaults.bundle or client_bundle_path()
    subject.bundle = bundle = ClientBundle.load(path)
    now = datetime.now(UTC)
    dates = judge_dates(bundle.certificate, now, _RENEW if now < bundle.expires else ENROL_ANEW)
    return Judgement(dates.verdict, f"{path}: {dates.measured}", dates.remedy)


async def judge_chain(subject: Subject) -> Judgement:
    """Check whether the authority in the bundle issued the certificate in it."""
    bundle = subject.bundle
    if bundle is None:
        return fine("not used")
    if not bundle.is_consistent:
        return failure(
            f"{bundle.path} belongs to another site than the CA certificate in it", ENROL_ANEW
        )
    return fine(f"issued by the CA certificate beside it, for {_holder(bundle.certificate)}")


async def judge_rights_on_key(subject: Subject) -> Judgement:
    """Check whether only its owner can read the private key."""
    return fine("not used") if subject.bundle is None else judge_key_rights([subject.bundle.path])


def _holder(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return certificate.subject.rfc4514_string()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next(iter(uris), certificate.subject.rfc4514_string())
