"""Whether a certificate that is there may make room for that of an invitation, unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from usbshare.base.errors import ConfigError, PermissionDeniedError, UsbshareError
from usbshare.base.event_loop import run
from usbshare.bridge.enrolment.certificate_request import places
from usbshare.client.access import who_am_i
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.certificates import Bundle
from usbshare.trust.invitation import Invitation

ASK_TIMEOUT_S = 8.0


class CertificateKeptError(ConfigError):
    """A certificate lies there that is worth something; `what` says whose, and until when."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"there is already a certificate at {path} ({what}): keep it with --bundle FILE, or "
            "replace it with --force"
        )
        self.what = what


def require_replaceable(path: Path, invitation: Invitation) -> str:
    """Return why what lies at `path` is worth nothing any more, empty if nothing lies there.

    CertificateKeptError if it is worth something beside the invitation. A host of the same site may
    be asked whether it has revoked it.
    """
    if not path.exists():
        return ""
    try:
        bundle = certificates.load_bundle(path.read_bytes())
    except (OSError, ValueError):
        raise CertificateKeptError(path, "a file that is not a certificate") from None
    end = bundle.certificate.not_valid_after_utc
    names = ", ".join(certificates.uris(bundle.certificate)) or "without an identity"
    if end < datetime.now(UTC):
        return f"{names} expired on {end:%Y-%m-%d}"
    if _is_of_site(bundle, invitation):
        if _is_same(bundle, invitation):
            return f"{names} gets a new one"
        if run(_is_revoked(path, invitation)):
            return f"{names} is revoked"
    raise CertificateKeptError(path, f"{names}, valid until {end:%Y-%m-%d}")


def _is_of_site(bundle: Bundle, invitation: Invitation) -> bool:
    return any(
        bytes.fromhex(certificates.fingerprint(each.public_key())) == invitation.authority_sha256
        for each in bundle.authorities
    )


def _is_same(bundle: Bundle, invitation: Invitation) -> bool:
    uris = certificates.uris(bundle.certificate)
    return any(uri.rpartition("/")[2] == invitation.name for uri in uris)


async def _is_revoked(path: Path, invitation: Invitation) -> bool:
    """Return whether the host says so; False where it cannot be asked."""
    try:
        bundle = ClientBundle.load(path)
    except ConfigError:
        return False
    targets = [Target(host, invitation.service_port) for host in places(invitation)]
    answers = await asyncio.gather(*(_answer(target, bundle) for target in targets))
    return any(_says_revoked(answers))


def _says_revoked(answers: Iterable[Exception | None]) -> Iterable[bool]:
    return (isinstance(each, PermissionDeniedError) and "revoked" in str(each) for each in answers)


async def _answer(target: Target, bundle: ClientBundle) -> Exception | None:
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await who_am_i(target, bundle)
    except (UsbshareError, TimeoutError) as error:
        return error
    return None
