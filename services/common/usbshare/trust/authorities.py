"""Who signs a site's certificates: one authority, or two while an old one is rolled over.

`ca.key` signs this host's certificate. While `next-ca.key` is there, it signs everybody else's, and
`ca.crt` holds both certificates, so that the host accepts and its clients trust either.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from usbshare.base.errors import ConfigError
from usbshare.base.paths import CLIENT_BUNDLE_FILE, is_open_to_others
from usbshare.base.plain_file import read_plain
from usbshare.trust import certificates
from usbshare.trust.certificates import Authority, Key

_log = logging.getLogger(__name__)

CERTIFICATES_FILE, KEY_FILE, NEXT_KEY_FILE = "ca.crt", "ca.key", "next-ca.key"
OVERLAP_FILE = "overlap-end"


@dataclass(frozen=True, slots=True)
class Authorities:
    """Who signs this host's certificate, who its clients', and who is trusted (the latter first).

    `overlap_end` is when the host changes over to its clients' authority, None if it has.
    """

    host: Authority
    clients: Authority
    trusted: tuple[x509.Certificate, ...]
    overlap_end: datetime | None = None

    @property
    def pem(self) -> bytes:
        """Every authority that is trusted, as PEM, the clients' first."""
        return b"".join(map(certificates.certificate_pem, self.trusted))

    @property
    def is_rolling(self) -> bool:
        """Whether there are two."""
        return self.host is not self.clients


def load_authorities(home: Path, now: datetime) -> Authorities:
    """Read the authorities of a site's folder; the ConfigError says what is damaged or expired."""
    found = _read_certificates(home / CERTIFICATES_FILE)
    host = load_authority(home, KEY_FILE, now)
    if not (home / NEXT_KEY_FILE).exists() or not (home / OVERLAP_FILE).exists():
        return Authorities(host, host, tuple(found))
    clients = load_authority(home, NEXT_KEY_FILE, now)
    end = read_overlap_end(home / OVERLAP_FILE)
    others = [each for each in found if each != clients.certificate]
    return Authorities(host, clients, (clients.certificate, *others), end)


def load_authority(home: Path, key_file: str, now: datetime) -> Authority:
    """Read the authority that has this key; the ConfigError says what is wrong with it."""
    key, path = load_authority_key(home / key_file), home / CERTIFICATES_FILE
    found = _read_certificates(path)
    certificate = next((each for each in found if certificates.is_pair(each, key)), None)
    if certificate is None:
        raise damaged(path, f"does not belong to {key_file}")
    if certificate.not_valid_after_utc < now:
        raise damaged(path, "has expired")
    return Authority(certificate, key)


def load_authority_key(path: Path) -> Key:
    """Read an authority's private key; the ConfigError says what is wrong with it."""
    try:
        key = certificates.load_key(read_plain(path))
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except ValueError as error:
        raise damaged(path, "is not a private key") from error
    if is_open_to_others(path):
        _log.warning("CA key %s is readable by other users: run `chmod 600 %s`", path, path)
    return key


def read_overlap_end(path: Path) -> datetime:
    """Read when an overlap ends; ConfigError if the file is damaged."""
    try:
        end = datetime.fromisoformat(read_plain(path).decode("ascii").strip())
    except ValueError as error:
        raise ConfigError(
            f"{path} is not a time ({error}): write one as 2030-12-31T00:00:00+00:00"
        ) from error
    return end.astimezone() if end.tzinfo is None else end


def damaged(path: Path, problem: str) -> ConfigError:
    """Return what to say of an authority that cannot be used."""
    return ConfigError(
        f"{path} {problem}: restore it from a backup, or remove {path.parent} to start a new site "
        f"(then remove {path.parent.parent / CLIENT_BUNDLE_FILE} too, and invite every computer "
        "again)"
    )


def _read_certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_plain(path))
    except ValueError as error:
        raise damaged(path, "is not a certificate") from error
