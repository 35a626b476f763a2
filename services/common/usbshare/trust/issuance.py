"""Certificates for keys that were made elsewhere: who gets one, and from when it counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from usbshare.base.errors import PermissionDeniedError
from usbshare.trust import certificates
from usbshare.trust.authorities import load_authorities
from usbshare.trust.identities import moment_to_issue, read_identities, registry_path
from usbshare.trust.signing_requests import requested_key
from usbshare.trust.site import Site


def issue_for(
    site: Site, uri: str, csr_pem: str, now: datetime, life: timedelta | None = None
) -> x509.Certificate:
    """Sign a new certificate for an identity that has one, and the key of a request.

    PermissionDeniedError if it is revoked, InvalidArgumentError if the request is bad. Blocks.
    """
    record = read_identities(registry_path(site.folder)).get(uri)
    if record is not None and record.is_revoked:
        raise PermissionDeniedError(f"{record.name} is revoked: ask the host's operator")
    moment = moment_to_issue(registry_path(site.folder), uri, now)
    return _sign(site, uri, csr_pem, moment, life or site.life)


def admit(site: Site, uri: str, csr_pem: str, now: datetime) -> x509.Certificate:
    """Sign a certificate for an identity that comes in, even if it was revoked before.

    InvalidArgumentError if the request is bad. Blocks for the files of the site.
    """
    moment = moment_to_issue(registry_path(site.folder), uri, now)
    return _sign(site, uri, csr_pem, moment, site.life)


def _sign(
    site: Site, uri: str, csr_pem: str, moment: datetime, life: timedelta
) -> x509.Certificate:
    authority = load_authorities(site.home, moment).clients
    return certificates.issue_client(authority, requested_key(csr_pem), uri, moment, life)
