"""Changes a site over to a new authority, with a time in which the old and the new one count.

Every step leaves the site usable, and a change that was cut short goes on at the next call.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import SITE_FOLDER, write_private
from usbshare.trust import certificates
from usbshare.trust.authorities import (
    CERTIFICATES_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    OVERLAP_FILE,
    load_authorities,
    load_authority,
    load_authority_key,
    read_overlap_end,
)
from usbshare.trust.certificates import Authority

_log = logging.getLogger(__name__)
DEFAULT_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Rollover:
    """What a change of authority came to; fingerprints are SHA-256 of public keys, in hex."""

    old_fingerprint: str
    new_fingerprint: str
    overlap_end: datetime


def roll(
    folder: Path, overlap: timedelta = DEFAULT_OVERLAP, now: datetime | None = None
) -> Rollover:
    """Make a new authority beside the site's; ConfigError if one is being changed over to already.

    From now on it signs what clients get. The host keeps its certificate of the old one until the
    overlap ends, so that clients that know only that one still find it the same host.
    """
    home, now = folder / SITE_FOLDER, now or datetime.now(UTC)
    with _locked(home):
        before = load_authorities(home, now)
        if before.overlap_end is not None:
            raise ConfigError(
                "an authority rollover is already in progress, until "
                f"{before.overlap_end:%Y-%m-%d}: `pki roll --finish` ends it now"
            )
        new, end = _new_authority(home, now), min(now + overlap, _end(before.host))
        _write_certificates(home, new, before.host)
        write_private(home / OVERLAP_FILE, end.isoformat().encode())
        _log.info("a new authority signs from now on; the old one is trusted until %s", end.date())
        if overlap <= timedelta(0):
            finish_if_over(home, now)
        return Rollover(_fingerprint(before.host), _fingerprint(new), end)


def finish(folder: Path, now: datetime | None = None) -> Rollover:
    """End the overlap now; who has not renewed since it began must be enrolled again.

    ConfigError if there is none.
    """
    home, now = folder / SITE_FOLDER, now or datetime.now(UTC)
    with _locked(home):
        found = load_authorities(home, now)
        if found.overlap_end is None:
            raise ConfigError("no authority rollover is in progress: `pki roll` starts one")
        write_private(home / OVERLAP_FILE, now.isoformat().encode())
        finish_if_over(home, now)
        return Rollover(_fingerprint(found.host), _fingerprint(found.clients), now)


def finish_if_over(home: Path, now: datetime) -> bool:
    """Let the old authority go once its overlap has ended; True if it did. The lock is held."""
    overlap_file, next_key = home / OVERLAP_FILE, home / NEXT_KEY_FILE
    if not overlap_file.exists() or read_overlap_end(overlap_file) > now:
        return False
    if next_key.exists():
        load_authority(
            home, NEXT_KEY_FILE, now
        )  # it must be good before it takes the other's place
        next_key.replace(home / KEY_FILE)
    _write_certificates(home, load_authority(home, KEY_FILE, now))
    overlap_file.unlink()
    _log.info("the site's old authority is no longer trusted")
    return True


def _new_authority(home: Path, now: datetime) -> Authority:
    path = home / NEXT_KEY_FILE
    key = load_authority_key(path) if path.exists() else certificates.new_key()
    if not path.exists():
        write_private(path, certificates.key_pem(key))
    return certificates.new_authority(key, now)


def _write_certificates(home: Path, *authorities: Authority) -> None:
    parts = (certificates.certificate_pem(each.certificate) for each in authorities)
    write_private(home / CERTIFICATES_FILE, b"".join(parts))


def _fingerprint(authority: Authority) -> str:
    return certificates.fingerprint(authority.key.public_key())


def _end(authority: Authority) -> datetime:
    return authority.certificate.not_valid_after_utc


def _locked(home: Path) -> AbstractContextManager[None]:
    if not (home / CERTIFICATES_FILE).exists():
        raise ConfigError(f"there is no site in {home}: the first start of a service creates it")
    return file_lock(home / ".lock")
