"""A site: the authority made on first start, and what it issues to host and operator."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from usbshare.common import certificates
from usbshare.common.certificates import Authority, Key
from usbshare.common.errors import ConfigError
from usbshare.common.file_lock import file_lock
from usbshare.common.paths import (
    CLIENT_BUNDLE_FILE,
    SITE_FOLDER,
    is_open_to_others,
    make_private,
    write_private,
)

if TYPE_CHECKING:  # needs ifaddr, which only the services have
    from usbshare.common.host_names import HostNames

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """Who a site is, and where its certificates lie; `folder` is the configuration folder."""

    folder: Path
    fingerprint: str
    is_new: bool = False

    @property
    def id(self) -> str:
        """The short name of the site, made from its authority's key."""
        return certificates.site_id(self.fingerprint)

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate: public."""
        return self.folder / SITE_FOLDER / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        """The certificate of this host."""
        return self.folder / SITE_FOLDER / "server.crt"

    @property
    def server_key(self) -> Path:
        """The private key of this host."""
        return self.folder / SITE_FOLDER / "server.key"

    @property
    def client_bundle(self) -> Path:
        """The file to copy to the operator's computer."""
        return self.folder / CLIENT_BUNDLE_FILE

    @property
    def operator_uri(self) -> str:
        """The identity in the operator's certificate."""
        return f"usbshare://{self.id}/operator"


def ensure_site(folder: Path, names: HostNames, now: datetime | None = None) -> Site:
    """Make what is missing, renew what is due, keep the rest; blocks while another process does."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(folder / SITE_FOLDER)
        with file_lock(folder / SITE_FOLDER / ".lock"):
            return _ensure(folder, names, now or datetime.now(UTC))
    except OSError as error:
        raise ConfigError(
            f"cannot use {error.filename or folder}: {error.strerror}: mend its owner and rights, "
            "or choose another folder with USBSHARE_HOME"
        ) from error


def _ensure(folder: Path, names: HostNames, now: datetime) -> Site:
    home = folder / SITE_FOLDER
    is_new = not (home / "ca.crt").exists()
    authority = _new_authority(home, now) if is_new else _load_authority(home, now)
    fingerprint = certificates.fingerprint(authority.key.public_key())
    site = Site(folder, fingerprint, is_new)
    _ensure_server(site, authority, names, now)
    _ensure_client(site, authority, now)
    return site


def _new_authority(home: Path, now: datetime) -> Authority:
    # A key without its certificate is what a start that was cut short leaves; the key decides.
    path = home / "ca.key"
    key = _load_authority_key(path) if path.exists() else certificates.new_key()
    authority = certificates.new_authority(key, now)
    if not path.exists():
        write_private(path, certificates.key_pem(key))
    write_private(home / "ca.crt", certificates.certificate_pem(authority.certificate))
    _log.info("made the authority of a new site in %s", home)
    return authority


def _load_authority(home: Path, now: datetime) -> Authority:
    key = _load_authority_key(home / "ca.key")
    try:
        certificate = x509.load_pem_x509_certificate((home / "ca.crt").read_bytes())
    except ValueError as error:
        raise _damaged_authority(home / "ca.crt", "is not a certificate") from error
    if not certificates.is_pair(certificate, key):
        raise _damaged_authority(home / "ca.crt", "does not belong to ca.key")
    if certificate.not_valid_after_utc < now:
        raise _damaged_authority(home / "ca.crt", "has expired")
    return Authority(certificate, key)


def _load_authority_key(path: Path) -> Key:
    try:
        key = certificates.load_key(path.read_bytes())
    except FileNotFoundError as error:
        raise _damaged_authority(path, "is missing") from error
    except ValueError as error:
        raise _damaged_authority(path, "is not a private key") from error
    if is_open_to_others(path):
        _log.warning("others may read %s, which rules the site: run `chmod 600 %s`", path, path)
    return key


def _damaged_authority(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"{path} {problem}: restore it from a backup, or remove {path.parent} to start a new site "
        f"(then remove {path.parent.parent / CLIENT_BUNDLE_FILE} too, and copy the new one "
        "to every client)"
    )


def _ensure_server(site: Site, authority: Authority, names: HostNames, now: datetime) -> None:
    key = _load_server_key(site.server_key)
    if key and _is_current(_load_certificate(site.server_certificate), key, authority, names, now):
        return
    if key is None:
        key = certificates.new_key()
        write_private(site.server_key, certificates.key_pem(key))
    issued = certificates.issue_server(authority, key, names.dns, names.addresses, now)
    write_private(site.server_certificate, certificates.certificate_pem(issued))
    _log.info("issued %s for %s", site.server_certificate, ", ".join(names))


def _is_current(
    certificate: x509.Certificate | None,
    key: Key,
    authority: Authority,
    names: HostNames,
    now: datetime,
) -> bool:
    if certificate is None or certificates.is_due(certificate, now):
        return False
    if not certificates.is_pair(certificate, key):
        return False
    if not certificates.is_issued_by(certificate, authority.certificate):
        return False
    dns, addresses = certificates.subject_names(certificate)
    # A name that went away stays until renewal: a VPN that is down today is up again tomorrow.
    return dns.issuperset(names.dns) and addresses.issuperset(names.addresses)


def _load_server_key(path: Path) -> Key | None:
    try:
        return certificates.load_key(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _load_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _ensure_client(site: Site, authority: Authority, now: datetime) -> None:
    bundle = _load_client(site.client_bundle)
    if bundle is None:
        _issue_client(site, authority, now)
    elif not certificates.is_issued_by(bundle.certificate, authority.certificate):
        _log.warning("%s is of another site; left as it is", site.client_bundle)
    elif certificates.is_due(bundle.certificate, now):
        _issue_client(site, authority, now)


def _load_client(path: Path) -> certificates.Bundle | None:
    try:
        return certificates.load_bundle(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}): remove it, and the next start writes a new one"
        ) from error


def _issue_client(site: Site, authority: Authority, now: datetime) -> None:
    key = certificates.new_key()
    issued = certificates.issue_client(authority, key, site.operator_uri, now)
    parts = (
        certificates.key_pem(key),
        certificates.certificate_pem(issued),
        certificates.certificate_pem(authority.certificate),
    )
    write_private(site.client_bundle, b"".join(parts))
    _log.info("issued %s, valid until %s", site.client_bundle, issued.not_valid_after_utc.date())
