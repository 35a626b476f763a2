"""The registry of a site's identities: who has a certificate, and whose is revoked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from usbshare.base.errors import ConfigError, UnreadableError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import SITE_FOLDER, require_writable, write_private
from usbshare.base.plain_file import read_plain
from usbshare.trust import certificates, successors
from usbshare.trust.successors import Renewal

_LONGEST_RECORD_BYTES = 2048
MOST_CERTIFICATES = 50
_TIMES = ("issued", "expires", "revoked_at", "alarm_at", "ends", "used_at")


@dataclass(frozen=True, slots=True)
class Certificate:
    """One that an identity got: its serial number in hex, when it was made, when it ends."""

    serial: str
    issued: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """One identity and its newest certificate; times are aware, `fingerprint` the short one.

    `alarm_at`: when a superseded certificate was used last.
    `certificates`: those that have not ended, the newest last; `barred`: the serial numbers of
    those that are revoked though by their dates they are younger than the revocation.
    """

    name: str
    uri: str
    role: str = ""
    issued: datetime | None = None
    expires: datetime | None = None
    fingerprint: str = ""
    address: str = ""
    revoked_at: datetime | None = None
    reason: str = ""
    renewals: tuple[Renewal, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    barred: tuple[str, ...] = ()
    alarm_at: datetime | None = None
    alarm_from: str = ""

    @property
    def is_revoked(self) -> bool:
        """Whether its newest certificate is revoked."""
        if self.revoked_at is None:
            return False
        is_barred = any(each.serial in self.barred for each in self.certificates[-1:])
        return self.issued is None or self.issued <= self.revoked_at or is_barred


_LISTS: dict[str, type[Any]] = {"renewals": Renewal, "certificates": Certificate}


@dataclass(frozen=True, slots=True)
class Standing:
    """Which certificates count no more.

    `revoked`: until when an identity's are, by its URI; `void`: from when on a serial number is;
    `barred`: serial numbers that are revoked individually.
    `awaited`: the serial numbers whose first use is to be noted, of all `known` that were renewed.
    """

    revoked: Mapping[str, datetime] = field(default_factory=dict)
    void: Mapping[str, datetime] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()


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

    One that was issued at or before that moment is revoked. ConfigError if the file is damaged.
    """
    records = read_identities(path).values()
    return {record.uri: record.revoked_at for record in records if record.revoked_at is not None}


def read_standing(path: Path) -> Standing:
    """Return which certificates count no more; UnreadableError if the file is damaged."""
    records = read_identities(path).values()
    renewals = [each for record in records for each in record.renewals]
    revoked = {each.uri: each.revoked_at for each in records if each.revoked_at is not None}
    known = frozenset(each.new for each in renewals)
    awaited = frozenset(successors.awaited(renewals))
    barred = frozenset(serial for record in records for serial in record.barred)
    return Standing(revoked, successors.voids(renewals), awaited, known, barred)


def moment_to_issue(path: Path, uri: str, now: datetime) -> datetime:
    """Return the time for a new certificate: now, or later if a revocation would meet it."""
    revoked_at = read_revocations(path).get(uri)
    return now if revoked_at is None else max(now, revoked_at + timedelta(seconds=1))


def note_issued(
    path: Path,
    uri: str,
    certificate: x509.Certificate,
    *,
    role: str = "",
    address: str = "",
    succeeds: int = 0,
    at_host: bool = False,
) -> IdentityRecord:
    """Keep the identity's newest certificate; role and address stay as they were unless given.

    `succeeds` is the serial number of the one that it renews. A role lets it in again: that ends
    an alarm.
    """
    moment = certificates.issue_moment(certificate)
    with _changing(path) as records:
        known = records.get(uri, IdentityRecord(short_name(uri), uri))
        if role:
            known = replace(known, alarm_at=None, alarm_from="")
        if succeeds:
            old, new = successors.in_hex(succeeds), successors.in_hex(certificate.serial_number)
            renewal = Renewal(old, new, certificate.not_valid_after_utc, at_host=at_host)
            renewals = successors.with_renewal(known.renewals, renewal, moment)
            known = replace(known, renewals=renewals)
        records[uri] = replace(
            known,
            certificates=_with(known.certificates, certificate, moment),
            role=role or known.role,
            address=address or known.address,
            issued=moment,
            expires=certificate.not_valid_after_utc,
            fingerprint=certificates.short_fingerprint(certificate.public_key()),
        )
        return records[uri]


def note_use(path: Path, uri: str, serial: str, now: datetime) -> None:
    """Keep that a renewed certificate is in use, so that the one before it is superseded."""
    with _changing(path) as records:
        if known := records.get(uri):
            renewals = successors.with_use(known.renewals, serial, now)
            records[uri] = replace(known, renewals=renewals)


def note_alarm(path: Path, uri: str, address: str, now: datetime) -> None:
    """Keep that a superseded certificate of the identity was used."""
    with _changing(path) as records:
        if known := records.get(uri):
            records[uri] = replace(known, alarm_at=now, alarm_from=address)


def rehearse_issue(path: Path) -> None:
    """Raise ConfigError unless `note_issued` can write the registry now, and change nothing."""
    size = len(_as_text(read_identities(path))) + _LONGEST_RECORD_BYTES
    try:
        require_writable(path, size)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def revoke(path: Path, uri: str, reason: str, now: datetime) -> IdentityRecord:
    """Refuse from now on every certificate that the identity has, known here or not."""
    # Certificates have a resolution of seconds: what was issued within this one is revoked too.
    moment = datetime.fromtimestamp(math.ceil(now.timestamp()), UTC)
    with _changing(path) as records:
        known = records.get(uri, IdentityRecord(short_name(uri), uri))
        # What a clock has dated that was ahead then, or since this one is behind.
        ahead = {each.serial for each in known.certificates if each.issued > moment}
        if known.issued is not None and not known.certificates:
            moment = max(moment, known.issued)
        barred = tuple(sorted({*known.barred, *ahead}))
        records[uri] = replace(known, revoked_at=moment, reason=reason, barred=barred)
        return records[uri]


def _with(
    known: tuple[Certificate, ...], new: x509.Certificate, moment: datetime
) -> tuple[Certificate, ...]:
    """Add one to those that have not ended; of very many the oldest go."""
    serial = successors.in_hex(new.serial_number)
    added = Certificate(serial, moment, new.not_valid_after_utc)
    return (*(each for each in known if each.expires > moment), added)[-MOST_CERTIFICATES:]


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
    fields = _told(asdict(record))
    for name in _LISTS:
        if found := getattr(record, name):
            fields[name] = [_told(asdict(each)) for each in found]
    return fields


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set, times as text."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in fields.items()
        if value
    }


def _record(fields: dict[str, Any]) -> IdentityRecord:
    lists = {
        name: tuple(kind(**_timed(each)) for each in fields.get(name, ()))
        for name, kind in _LISTS.items()
    }
    return IdentityRecord(**_timed(fields) | lists | {"barred": tuple(fields.get("barred", ()))})


def _timed(fields: Mapping[str, Any]) -> dict[str, Any]:
    times = {key: _time(fields[key]) for key in _TIMES if key in fields}
    return {**fields, **times}


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
