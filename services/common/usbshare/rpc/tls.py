"""TLS for both sides: the server's reloading certificate and the client's bundle."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from usbshare.base.background_writer import Background
from usbshare.base.errors import ConfigError
from usbshare.base.paths import is_open_to_others
from usbshare.base.plain_file import open_plain, read_plain
from usbshare.trust import certificates

if TYPE_CHECKING:
    from usbshare.trust.site import Site

_log = logging.getLogger(__name__)
MOST_BUNDLE_BYTES = 1024 * 1024
LOOK_TIMEOUT_S = 0.05
# What to do about a certificate that is missing or good for nothing.
ENROL = (
    "have the host invite this computer (`serial-svc pki invite` there, `usbshare-bridge "
    "enroll` here)"
)
ENROL_ANEW = ENROL.replace("enroll`", "enroll --force`")


def server_credentials(site: Site) -> grpc.ServerCredentials:
    """Return credentials that require a client certificate and follow the site's files.

    Raises ConfigError.

    A disk that hangs holds up one handshake for some ms, and no other: what is in use stays.
    """
    files = _ServerFiles(site)
    reader = Background("the certificate of this host")

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Run at every handshake, in a thread of gRPC's; None keeps what is in use."""
        reader.put_first("look", files.look, LOOK_TIMEOUT_S)
        return files.take_changed()

    try:
        initial = files.read()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the certificate of {site.folder}: {error}") from error
    return grpc.dynamic_ssl_server_credentials(
        initial,
        changed,  # type: ignore[arg-type]  # the stub forgets None: no change
        require_client_authentication=True,
    )


@dataclass(frozen=True, slots=True)
class ClientBundle:
    """A client's private key, certificate and site authorities, all PEM, as read from `path`."""

    path: Path
    key: bytes = field(repr=False)
    chain: bytes
    authorities: bytes
    expires: datetime
    warning: str | None = None

    @classmethod
    def load(cls, path: Path, now: datetime | None = None) -> ClientBundle:
        """Read and check a bundle; the ConfigError says what is wrong and what to do."""
        bundle = _read_bundle(path)
        _require_usable(path, bundle.certificate, now or datetime.now(UTC))
        return cls(
            path,
            certificates.key_pem(bundle.key),
            certificates.certificate_pem(bundle.certificate),
            b"".join(map(certificates.certificate_pem, bundle.authorities)),
            bundle.certificate.not_valid_after_utc,
            _rights_warning(path),
        )

    @property
    def site(self) -> str:
        """The fingerprint of the first authority that it trusts, which is its site's."""
        return self.sites[0]

    @property
    def sites(self) -> tuple[str, ...]:
        """The fingerprints of all that it trusts: two while its site changes its authority."""
        found = x509.load_pem_x509_certificates(self.authorities)
        return tuple(certificates.fingerprint(each.public_key()) for each in found)

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate."""
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def is_consistent(self) -> bool:
        """Whether one of its own authorities issued its certificate."""
        own, authorities = self.certificate, x509.load_pem_x509_certificates(self.authorities)
        return any(certificates.is_issued_by(own, authority) for authority in authorities)


def ssl_context(bundle: ClientBundle) -> ssl.SSLContext:
    """Return the same trust for the ssl module, read from the bundle's file again; ConfigError."""
    context = ssl.create_default_context(cadata=bundle.authorities.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(bundle.path)
    except OSError as error:
        raise ConfigError(f"can no longer read {bundle.path}: {error}: {ENROL_ANEW}") from error
    return context


class _ServerFiles:
    """The server's key, certificate and authority, and when they were last read."""

    def __init__(self, site: Site) -> None:
        self._paths = (site.server_key, site.server_certificate, site.ca_certificate)
        self._stamps: tuple[tuple[int, int], ...] = ()
        self._changed: grpc.ServerCertificateConfiguration | None = None

    def read(self) -> grpc.ServerCertificateConfiguration:
        stamps = self._stat()
        key, certificate, authority = (read_plain(path) for path in self._paths)
        certificates.load_bundle(key + certificate)
        self._stamps = stamps
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    def look(self) -> None:
        """Read what has changed; blocks."""
        try:
            if self._stat() != self._stamps:
                self._changed = self.read()
        except (OSError, ValueError) as error:
            _log.warning("keeping the previous server certificate: %s", error)

    def take_changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what was reread, once."""
        changed, self._changed = self._changed, None
        return changed

    def _stat(self) -> tuple[tuple[int, int], ...]:
        found = (path.stat() for path in self._paths)
        return tuple((status.st_mtime_ns, status.st_ino) for status in found)


def _read_bundle(path: Path) -> certificates.Bundle:
    try:
        with open_plain(path) as file:
            bundle = certificates.load_bundle(file.read(MOST_BUNDLE_BYTES))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no client certificate at {path}: {ENROL}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}: fix its permissions") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a client bundle ({error}): {ENROL_ANEW}") from error
    if not bundle.authorities:
        raise ConfigError(f"{path} lacks the CA certificate at its end: {ENROL_ANEW}")
    return bundle


def _require_usable(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise ConfigError(f"the certificate in {path} expired on {end:%Y-%m-%d}: {ENROL_ANEW}")
    if now < start:
        raise ConfigError(
            f"the certificate in {path} is valid only from {start:%Y-%m-%d %H:%M} UTC: check "
            "this computer's clock"
        )
    if not certificates.is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH):
        raise ConfigError(f"the certificate in {path} is not for clients: {ENROL_ANEW}")


def _rights_warning(path: Path) -> str | None:
    if is_open_to_others(path):
        return f"other users can read the private key in {path}: run `chmod 600 {path}`"
    return None
