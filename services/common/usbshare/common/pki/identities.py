"""The registry of a site's identities: who has a certificate, and whose counts no more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from usbshare.base.plain_file import read_plain
from usbshare.common import certificates
from usbshare.common.errors import ConfigError, UnreadableError
from usbshare.common.file_lock import file_lock
from usbshare.common.paths import SITE_FOLDER, require_writable, write_private

_LONGEST_RECORD_BYTES = 2048


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """One identity and its newest certificate; times are aware, `fingerprint` the short one."""

    name: str
    uri: str
    role: str = ""
    issued: datetime | None = None
    expires: datetime | None = None
    fingerprint: str = ""
    address: str = ""
    revoked_at: datetime | None = None
    reason: str = ""

    @property
    def is_revoked(self) -> bool:
        """Whether its newest certificate counts no more."""
        if self.revoked_at is None:
            return False
        return self.issued is None or self.issued <= self.revoked_at


def registry_path(folder: Path) -> Path:
    """Return where the registry of a configuration folder is."""
    return folder / SITE_FOLDER / "identities.json"


def short_name(uri: str) -> str:
    """Return the last part of an identity's URI."""
    return uri.rsplit("/", 1)[-1]


def read_identities(path: Path) -> dict[str, IdentityRecord]:
    """Return every record by its URI, nothing without a file; ConfigError if it is damaged."""
    try:
        found = json.loads(read_plain(path))
        return {record["uri"]: _record(record) for record in found["identities"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UnreadableError(f"{path} cannot be read ({why}): restore it from a backup") from error


def read_revocations(path: Path) -> dict[str, datetime]:
    """Return until when the certificates of an identity, by its URI, are revoked.

    One that was issued at or before that moment counts no more. ConfigError if the file is damaged.
    """
    records = read_identities(path).values()
    return {record.uri: record.revoked_at for record in records if record.revoked_at is not None}


def moment_to_issue(path: Path, uri: str, now: datetime) -> datetime:
    """Return the time for a new certificate: now, or later if a revocation would meet it."""
    revoked_at = read_revocations(path).get(uri)
    return now if revoked_at is None else max(now, revoked_at + timedelta(seconds=1))


def note_issued(
    path: Path, uri: str, certificate: x509.Certificate, *, role: str = "", address: str = ""
) -> IdentityRecord:
    """Keep the identity's newest certificate; role and address stay as they were unless given."""
    with _changing(path) as records:
        known = records.get(uri, IdentityRecord(short_name(uri), uri))
        records[uri] = replace(
            known,
            role=role or known.role,
            address=address or known.address,
            issued=certificates.issue_moment(certificate),
            expires=certificate.not_valid_after_utc,
            fingerprint=certificates.short_fingerprint(certificate.public_key()),
        )
        return records[uri]


def rehearse_issue(path: Path) -> None:
    """Raise ConfigError unless `note_issued` can write the registry now, and change nothing."""
    size = len(_as_text(read_identities(path))) + _LONGEST_RECORD_BYTES
    try:
        require_writable(path, size)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def revoke(path: Path, uri: str, reason: str, now: datetime) -> IdentityRecord:
    """Refuse from now on every certificate that the identity has, known here or not."""
    # Certificates tell seconds only: what was issued within this one is revoked too.
    moment = datetime.fromtimestamp(math.ceil(now.timestamp()), UTC)
    with _changing(path) as records:
        known = records.get(uri, IdentityRecord(short_name(uri), uri))
        if known.issued is not None:  # by a clock that was ahead then
            moment = max(moment, known.issued)
        records[uri] = replace(known, revoked_at=moment, reason=reason)
        return records[uri]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, IdentityRecord]]:
    with file_lock(path.with_name(".identities.lock")):
        records = read_identities(path)
        yield records
        write_private(path, _as_text(records))


def _as_text(records: Mapping[str, IdentityRecord]) -> bytes:
    found = [_as_json(records[uri]) for uri in sorted(records)]
    return json.dumps({"identities": found}, indent=1, ensure_ascii=False).encode()


def _as_json(record: IdentityRecord) -> dict[str, Any]:
    fields = asdict(record).items()
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in fields
        if value
    }


def _record(fields: dict[str, Any]) -> IdentityRecord:
    times: dict[str, Any] = {
        key: _time(fields[key]) for key in ("issued", "expires", "revoked_at") if key in fields
    }
    return IdentityRecord(**(fields | times))


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
