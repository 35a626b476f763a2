"""Gets this computer its certificate for an invitation; the key is made here and stays here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from usbshare.base.addresses import is_link_local
from usbshare.base.errors import ConfigError, ConnectionRefusedByPeerError, UsbshareError
from usbshare.base.paths import make_folder, require_writable, write_private
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.authority_check import (
    ImpostorError,
    NobodyThereError,
    expected_authority,
)
from usbshare.client.enrolment import Admission, call_enrol
from usbshare.hosts.interfaces import interface_names
from usbshare.rpc.channel import Target
from usbshare.trust import certificates
from usbshare.trust.certificates import Key
from usbshare.trust.invitation import Invitation
from usbshare.trust.signing_requests import new_request

LOOK_TIMEOUT_S = 5.0
BUNDLE_BYTES = 16 * 1024  # more than any has


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of it; fingerprints are the short ones that the host shows too.

    `target` is the host's serial service, which need not run.
    """

    identity: str
    role: str
    path: Path
    expires: datetime
    target: Target
    fingerprint: str
    authority_fingerprint: str


async def enrol(invitation: Invitation, path: Path) -> Enrolment:
    """Use the invitation and write the bundle to `path`; raises UsbshareError, nothing written.

    `path` must be such that `require_place` is content.
    """
    now = datetime.now(UTC)
    target, authority = await _first_proven(invitation, now)
    key = certificates.new_key()
    request = new_request(key, invitation.name)
    admission = await call_enrol(target, authority, invitation.token, request)
    issued = _checked(admission, key, authority)
    parts = (certificates.key_pem(key), admission.certificate, admission.authorities)
    try:
        write_private(path, b"".join(parts))
    except OSError as error:
        raise ConfigError(
            f"{path} could not be written ({error.strerror}), and the invitation is used up: "
            "fix that, then ask the host's operator for a new one"
        ) from error
    return Enrolment(
        identity=admission.identity,
        role=admission.role,
        path=path,
        expires=issued.not_valid_after_utc,
        target=replace(target, port=invitation.service_port),
        fingerprint=certificates.short_fingerprint(key.public_key()),
        authority_fingerprint=certificates.short_fingerprint(authority.public_key()),
    )


def require_place(path: Path) -> None:
    """Raise ConfigError unless a bundle can be written there.

    It is tried: an invitation cannot be used a second time.
    """
    try:
        make_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"cannot create {path.parent}: {error.strerror}") from error
    try:
        require_writable(path, BUNDLE_BYTES)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}: choose another place with --bundle FILE"
        ) from error


def places(invitation: Invitation) -> list[str]:
    """Return where the host may be; a link-local address may be behind each interface."""
    found: list[str] = []
    for host in invitation.addresses:
        is_behind_any = is_link_local(host) and "%" not in host
        found += [f"{host}%{each}" for each in interface_names()] if is_behind_any else [host]
    return found or list(invitation.addresses)


async def _first_proven(invitation: Invitation, now: datetime) -> tuple[Target, x509.Certificate]:
    """Return the first address that proves to be the host; the most telling error if none does."""

    async def look(host: str) -> tuple[Target, x509.Certificate]:
        target = Target(host, invitation.port)
        wanted = invitation.authority_sha256
        found = await in_thread(expected_authority, target, wanted, now, LOOK_TIMEOUT_S)
        return target, found

    looks = [asyncio.create_task(look(host), name=f"look at {host}") for host in places(invitation)]
    errors: list[UsbshareError] = []
    try:
        for finished in asyncio.as_completed(looks):
            try:
                return await finished
            except UsbshareError as error:
                errors.append(error)
    finally:
        await cancel_all(*looks)
    raise _most_telling(errors, invitation, now)


def _most_telling(
    errors: Iterable[UsbshareError], invitation: Invitation, now: datetime
) -> UsbshareError:
    in_order = sorted(errors, key=_rank)
    if isinstance(worst := in_order[0], ImpostorError):
        return worst
    reasons = "; ".join(dict.fromkeys(map(str, in_order)))
    if not isinstance(worst, NobodyThereError):
        return type(worst)(reasons)
    end = invitation.expires.astimezone()
    over = "it expired" if now >= invitation.expires else "it was used or withdrawn"
    return ConnectionRefusedByPeerError(
        f"this host has no open invitation ({reasons}): {over} (it is valid until "
        f"{end:%Y-%m-%d %H:%M}), or no service is running there; ask the host's operator"
    )


def _rank(error: UsbshareError) -> int:
    kinds = (ImpostorError, NobodyThereError)
    return next((rank for rank, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))


def _checked(admission: Admission, key: Key, authority: x509.Certificate) -> x509.Certificate:
    """Return the certificate if it is what was asked for."""
    try:
        issued = x509.load_pem_x509_certificate(admission.certificate)
        trusted = x509.load_pem_x509_certificates(admission.authorities)
    except ValueError as error:
        raise ConnectionRefusedByPeerError(f"the host's answer is invalid: {error}") from error
    is_vouched = any(certificates.is_issued_by(issued, each) for each in trusted)
    if not (certificates.is_pair(issued, key) and is_vouched and authority in trusted):
        raise ConnectionRefusedByPeerError("the host's answer is not a certificate for this key")
    return issued
