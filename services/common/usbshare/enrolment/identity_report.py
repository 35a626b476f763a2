"""A table of a site's identities: rights, last seen, expiry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from usbshare.authorization.policy import POLICY_FILE, load_policy
from usbshare.base.addresses import split_host_port
from usbshare.base.errors import InvalidArgumentError
from usbshare.enrolment.last_seen import Sighting, last_seen
from usbshare.enrolment.membership import rights_in_words
from usbshare.trust.identities import IdentityRecord, read_identities, registry_path
from usbshare.trust.invitations import Given, invitations_path, read_invitations

_HEAD = ("NAME", "ROLE", "RIGHTS", "LAST SEEN", "FROM", "EXPIRES", "FINGERPRINT", "STATE")
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Entry:
    """One identity, or one that is invited; empty where nothing is known."""

    name: str
    identity: str
    role: str
    rights: str
    last_seen: datetime | None
    address: str
    expires: datetime | None
    fingerprint: str
    state: str


def roll_call(folder: Path, state_folder: Path, site_id: str, now: datetime) -> list[Entry]:
    """Return the identities by name, then the open invitations; ConfigError if a file is bad."""
    policy = load_policy(folder / POLICY_FILE)
    seen = last_seen(state_folder)
    records = read_identities(registry_path(folder)).values()
    entries = [
        _entry(each, "" if each.is_revoked else rights_in_words(policy, each.uri, site_id, now))
        for each in sorted(records, key=lambda each: each.name)
    ]
    known = [_with_sighting(each, seen, now) for each in entries]
    given = read_invitations(invitations_path(folder))
    return known + [_invited(each) for each in given if each.is_open(now)]


def as_table(entries: Iterable[Entry]) -> str:
    """Return the report as lines of columns."""
    rows = [_HEAD, *map(_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _entry(record: IdentityRecord, rights: str) -> Entry:
    state = "ok"
    if record.is_revoked and record.revoked_at is not None:
        why = f": {record.reason}" if record.reason else ""
        state = f"revoked {record.revoked_at:%Y-%m-%d %H:%M}{why}"
    elif record.alarm_at is not None:
        when = f"{record.alarm_at.astimezone():%Y-%m-%d %H:%M}"
        state = f"ALARM: a superseded certificate was used on {when} from {record.alarm_from}"
    return Entry(
        name=record.name,
        identity=record.uri,
        role=record.role,
        rights=rights,
        last_seen=None,
        address=record.address,
        expires=record.expires,
        fingerprint=record.fingerprint,
        state=state,
    )


def _with_sighting(entry: Entry, seen: Mapping[str, Sighting], now: datetime) -> Entry:
    sighting = seen.get(entry.identity)
    is_over = entry.state == "ok" and entry.expires is not None and entry.expires <= now
    return Entry(
        name=entry.name,
        identity=entry.identity,
        role=entry.role,
        rights=entry.rights,
        last_seen=sighting.time if sighting else None,
        address=_host(sighting.address) if sighting else entry.address,
        expires=entry.expires,
        fingerprint=entry.fingerprint,
        state="expired" if is_over else entry.state,
    )


def _host(address: str) -> str:
    try:
        return split_host_port(address, 0)[0]
    except InvalidArgumentError:
        return address


def _invited(given: Given) -> Entry:
    state = f"invited until {given.expires.astimezone():%H:%M:%S}"
    return Entry(given.name, "", given.role, "", None, "", None, "", state)


def _row(entry: Entry) -> tuple[str, ...]:
    seen = f"{entry.last_seen.astimezone():%Y-%m-%d %H:%M}" if entry.last_seen else _NONE
    expires = f"{entry.expires:%Y-%m-%d}" if entry.expires else _NONE
    cells = (entry.name, entry.role, entry.rights, seen, entry.address, expires, entry.fingerprint)
    return (*(cell or _NONE for cell in cells), entry.state)
