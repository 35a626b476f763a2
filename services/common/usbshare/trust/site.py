"""A site: the authority made on first start, and what it issues to host and operator."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import (
    CLIENT_BUNDLE_FILE,
    SITE_FOLDER,
    make_folder,
    make_private,
    write_private,
)
from usbshare.base.plain_file import read_plain
from usbshare.trust import certificates, identities, lifetime
from usbshare.trust.authorities import (
    CERTIFICATES_FILE,
    KEY_FILE,
    Authorities,
    load_authorities,
    load_authority_key,
)
from usbshare.trust.authority_rollover import finish_if_over
from usbshare.trust.certificates import Authority, Key

if TYPE_CHECKING:  # needs ifaddr, which only the services have
    from usbshare.base.host_names import HostNames

_log = logging.getLogger(__name__)

# No clock that is right says less: what a wrong one dates is worth nothing once it is set.
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """Who a site is, and where its certificates lie; `folder` is the configuration folder.

    `fingerprint` is of the authority that signed the host's certificate, `life` how long new
    certificates are valid. `known_id` is the id where it is not made from that authority's key.
    """

    folder: Path
    fingerprint: str
    is_new: bool = False
    known_id: str = ""
    life: timedelta = certificates.LEAF_LIFE

    @property
    def id(self) -> str:
        """The short name of the site: from its first authority's key, and never changed."""
        return self.known_id or certificates.site_id(self.fingerprint)

    @property
    def home(self) -> Path:
        """The folder of keys and certificates."""
        return self.folder / SITE_FOLDER

    @property
    def ca_certificate(self) -> Path:
        """The certificates of the authorities that are trusted: public."""
        return self.home / CERTIFICATES_FILE

    @property
    def server_certificate(self) -> Path:
        """The certificate of this host."""
        return self.home / "server.crt"

    @property
    def server_key(self) -> Path:
        """The private key of this host."""
        return self.home / "server.key"

    @property
    def client_bundle(self) -> Path:
        """What a bridge on the host itself shows: the operator's key and certificate."""
        return self.folder / CLIENT_BUNDLE_FILE

    @property
    def host_bundle(self) -> Path:
        """What this host's services show when they call one another."""
        return self.home / "host.pem"

    @property
    def job_bundle(self) -> Path:
        """What this host's job service shows to its serial service; there once it has run."""
        return self.home / "job-svc.pem"

    @property
    def job_uri(self) -> str:
        """The identity in the certificate of the job service."""
        return f"usbshare://{self.id}/job-svc"

    @property
    def operator_uri(self) -> str:
        """The identity in the operator's certificate."""
        return f"usbshare://{self.id}/operator"

    @property
    def host_uri(self) -> str:
        """The identity in the certificate of the services themselves."""
        return f"usbshare://{self.id}/host"


def ensure_site(
    folder: Path,
    names: HostNames,
    now: datetime | None = None,
    life: timedelta = certificates.LEAF_LIFE,
) -> Site:
    """Create what is missing, renew what is due; blocks while another process does. ConfigError."""
    try:
        make_folder(folder)
        make_private(folder / SITE_FOLDER)
        with file_lock(folder / SITE_FOLDER / ".lock"):
            return _ensure(folder, names, now or datetime.now(UTC), life)
    except OSError as error:
        raise ConfigError(
            f"cannot use {error.filename or folder}: {error.strerror}: fix its owner and "
            "permissions, or choose another folder with USBSHARE_HOME"
        ) from error


def ensure_job_identity(site: Site, now: datetime | None = None) -> Path:
    """Return the job service's bundle, issued if it has none; blocks, raises ConfigError.

    From then on it is renewed with the others.
    """
    moment = now or datetime.now(UTC)
    try:
        with file_lock(site.home / ".lock"):
            authorities = load_authorities(site.home, moment)
            _ensure_bundle(site, site.job_bundle, site.job_uri, authorities, moment)
    except OSError as error:
        raise ConfigError(f"cannot use {error.filename or site.home}: {error.strerror}") from error
    return site.job_bundle


def _ensure(folder: Path, names: HostNames, now: datetime, life: timedelta) -> Site:
    home = folder / SITE_FOLDER
    is_new = not (home / CERTIFICATES_FILE).exists()
    if is_new:
        _make_authority(home, now)
    finish_if_over(home, now)
    authorities = load_authorities(home, now)
    fingerprint = certificates.fingerprint(authorities.host.key.public_key())
    site = Site(folder, fingerprint, is_new, _site_id(home, fingerprint), life)
    _judge_clock(authorities, now)
    _ensure_server(site, authorities.host, names, now)
    _ensure_bundle(site, site.client_bundle, site.operator_uri, authorities, now)
    if site.job_bundle.exists():
        _ensure_bundle(site, site.job_bundle, site.job_uri, authorities, now)
    _ensure_host_bundle(site, authorities, now)
    return site


def _make_authority(home: Path, now: datetime) -> None:
    if now < _EARLIEST:
        raise ConfigError(
            f"this computer's clock says {now:%Y-%m-%d}: set it, then start again (a site "
            "created now would have expired when the clock is right)"
        )
    # A key without its certificate is what a start that was cut short leaves; the key decides.
    path = home / KEY_FILE
    key = load_authority_key(path) if path.exists() else certificates.new_key()
    authority = certificates.new_authority(key, now)
    if not path.exists():
        write_private(path, certificates.key_pem(key))
    write_private(home / CERTIFICATES_FILE, certificates.certificate_pem(authority.certificate))
    _log.info("created the authority of a new site in %s", home)


def _site_id(home: Path, fingerprint: str) -> str:
    """Return the id that the site was created with; identities contain it, whatever signs them."""
    path = home / "id"
    if path.exists() and (known := read_plain(path).decode("ascii", errors="replace").strip()):
        return known
    site_id = certificates.site_id(fingerprint)
    write_private(path, f"{site_id}\n".encode())
    return site_id


def _judge_clock(authorities: Authorities, now: datetime) -> None:
    start = authorities.host.certificate.not_valid_before_utc
    if now < start:
        _log.error(
            "this computer's clock says %s, but its site was created on %s: set the clock; "
            "until then every client is refused",
            f"{now:%Y-%m-%d %H:%M} UTC",
            start.date(),
        )


def _ensure_server(site: Site, authority: Authority, names: HostNames, now: datetime) -> None:
    key = _load_server_key(site.server_key)
    if key and _is_current(_load_certificate(site.server_certificate), key, authority, names, now):
        return
    if key is None:
        key = certificates.new_key()
        write_private(site.server_key, certificates.key_pem(key))
    issued = certificates.issue_server(authority, key, names.dns, names.addresses, now, site.life)
    write_private(site.server_certificate, certificates.certificate_pem(issued))
    _log.info("issued %s for %s", site.server_certificate, ", ".join(names))


def _is_current(
    certificate: x509.Certificate | None,
    key: Key,
    authority: Authority,
    names: HostNames,
    now: datetime,
) -> bool:
    if certificate is None or not _is_fresh(certificate, authority, now):
        return False
    if not certificates.is_pair(certificate, key):
        return False
    if not certificates.is_issued_by(certificate, authority.certificate):
        return False
    dns, addresses = certificates.subject_names(certificate)
    # A name that went away stays until renewal: a VPN that is down today is up again tomorrow.
    return dns.issuperset(names.dns) and addresses.issuperset(names.addresses)


def _is_fresh(certificate: x509.Certificate, authority: Authority, now: datetime) -> bool:
    """Return whether a certificate can be kept: not one of a future that a wrong clock saw."""
    age = lifetime.age(certificate, now)
    if age is lifetime.Age.NOT_YET_VALID:
        return now < authority.certificate.not_valid_before_utc  # no other would be valid either
    return age is lifetime.Age.FRESH


def _load_server_key(path: Path) -> Key | None:
    try:
        return certificates.load_key(read_plain(path))
    except (FileNotFoundError, ValueError):
        return None


def _load_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(read_plain(path))
    except (FileNotFoundError, ValueError):
        return None


def _ensure_bundle(
    site: Site, path: Path, uri: str, authorities: Authorities, now: datetime
) -> None:
    bundle = _load_client(path)
    if bundle is None:
        _issue_noted(site, path, uri, authorities, now, succeeds=0)
    elif uri not in certificates.uris(bundle.certificate):
        if not any(certificates.is_issued_by(bundle.certificate, ca) for ca in authorities.trusted):
            _log.warning("%s belongs to another site; left unchanged", path)
    elif not _is_current_bundle(bundle, authorities, now) and not _is_revoked(site, uri):
        succeeds = bundle.certificate.serial_number
        _issue_noted(site, path, uri, authorities, now, succeeds=succeeds)


def _is_revoked(site: Site, uri: str) -> bool:
    """Return whether an identity was shut out: that must not end with the next renewal."""
    records = identities.read_identities(identities.registry_path(site.folder))
    record = records.get(uri)
    return record is not None and record.is_revoked


def _is_current_bundle(
    bundle: certificates.Bundle, authorities: Authorities, now: datetime
) -> bool:
    is_fresh = _is_fresh(bundle.certificate, authorities.clients, now)
    if not is_fresh or set(bundle.authorities) != set(authorities.trusted):
        return False
    return certificates.is_issued_by(bundle.certificate, authorities.clients.certificate)


def _load_client(path: Path) -> certificates.Bundle | None:
    try:
        return certificates.load_bundle(read_plain(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}): remove it, and the next start writes a new one"
        ) from error


def _issue_noted(
    site: Site, path: Path, uri: str, authorities: Authorities, now: datetime, *, succeeds: int
) -> None:
    registry = identities.registry_path(site.folder)
    moment = identities.moment_to_issue(registry, uri, now)
    issued = _issue(site, path, uri, authorities, moment)
    identities.note_issued(registry, uri, issued, succeeds=succeeds, at_host=True)
    _log.info("issued %s, valid until %s", path, issued.not_valid_after_utc.date())


def _ensure_host_bundle(site: Site, authorities: Authorities, now: datetime) -> None:
    try:
        bundle = certificates.load_bundle(read_plain(site.host_bundle))
    except (FileNotFoundError, ValueError):
        bundle = None
    if bundle is None or not _is_current_bundle(bundle, authorities, now):
        _issue(site, site.host_bundle, site.host_uri, authorities, now)


def _issue(
    site: Site, path: Path, uri: str, authorities: Authorities, now: datetime
) -> x509.Certificate:
    key = certificates.new_key()
    issued = certificates.issue_client(authorities.clients, key, uri, now, site.life)
    parts = (certificates.key_pem(key), certificates.certificate_pem(issued), authorities.pem)
    write_private(path, b"".join(parts))
    return issued
