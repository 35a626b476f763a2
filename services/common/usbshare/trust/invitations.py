"""The invitations of a site that were given out: hashes of their tokens, each good for one use."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from usbshare.base.errors import ConfigError, PermissionDeniedError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import SITE_FOLDER, write_private
from usbshare.base.plain_file import read_plain
from usbshare.trust.invitation import token_hash

KEEP = timedelta(days=7)  # so that a late or second attempt is told so
_ASK = "ask the host's operator for a new one"


@dataclass(frozen=True, slots=True)
class Given:
    """An invitation as the host remembers it; times are aware.

    `given_by`: the identity that made it from afar, empty for one of the host's own commands.
    """

    token_sha256: str
    name: str
    role: str
    expires: datetime
    used_at: datetime | None = None
    used_from: str = ""
    withdrawn: bool = False
    given_by: str = ""

    def is_open(self, now: datetime) -> bool:
        """Return whether it can still be used."""
        return self.used_at is None and not self.withdrawn and now < self.expires


def invitations_path(folder: Path) -> Path:
    """Return where the invitations of a configuration folder are."""
    return folder / SITE_FOLDER / "invitations.json"


def read_invitations(path: Path) -> list[Given]:
    """Return what was given out lately; ConfigError if the file is damaged."""
    try:
        found = json.loads(read_plain(path))
        return [_given(fields) for fields in found["invitations"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be read ({why}): remove it, then invite again") from error


def add(path: Path, given: Given, now: datetime) -> None:
    """Remember a new invitation; forget those that ended long ago."""
    with _changing(path) as invitations:
        invitations[:] = [each for each in invitations if now < each.expires + KEEP]
        invitations.append(given)


def withdraw(path: Path, name: str, now: datetime, given_by: str = "") -> list[str]:
    """Make the open invitations for a name worthless, and those that an identity gave.

    Return the name of each.
    """
    with _changing(path) as invitations:
        is_hit = [
            each.is_open(now) and (each.name == name or (each.given_by == given_by != ""))
            for each in invitations
        ]
        hits = [each.name for each, hit in zip(invitations, is_hit, strict=True) if hit]
        invitations[:] = [
            replace(each, withdrawn=True) if hit else each
            for each, hit in zip(invitations, is_hit, strict=True)
        ]
    return hits


def find(path: Path, token: bytes, now: datetime) -> Given:
    """Return the open invitation of a token; PermissionDeniedError says why there is none."""
    return _open_one(read_invitations(path), token, now)


def take(path: Path, token: bytes, now: datetime, address: str) -> Given:
    """Use up the open invitation of a token, in one step; PermissionDeniedError as for `find`."""
    with _changing(path) as invitations:
        found = _open_one(invitations, token, now)
        used = replace(found, used_at=now, used_from=address)
        invitations[invitations.index(found)] = used
    return used


def _open_one(invitations: list[Given], token: bytes, now: datetime) -> Given:
    digest = token_hash(token)
    # Every one is compared, each in constant time.
    matches = [each for each in invitations if hmac.compare_digest(each.token_sha256, digest)]
    if not matches:
        raise PermissionDeniedError(
            "this host does not know the invitation: it was altered, belongs to another host, "
            f"or expired long ago: {_ASK}"
        )
    found = matches[-1]
    if found.used_at is not None:
        raise PermissionDeniedError(
            f"the invitation for {found.name!r} was already used at {found.used_at:%H:%M:%S} "
            f"UTC from {found.used_from}: if that was not you, tell the host's operator at "
            f"once; otherwise {_ASK}"
        )
    if found.withdrawn:
        raise PermissionDeniedError(f"the invitation for {found.name!r} was withdrawn: {_ASK}")
    if now >= found.expires:
        raise PermissionDeniedError(
            f"the invitation for {found.name!r} expired at {found.expires:%Y-%m-%d %H:%M:%S} UTC: "
            f"{_ASK}"
        )
    return found


@contextmanager
def _changing(path: Path) -> Iterator[list[Given]]:
    with file_lock(path.with_name(".invitations.lock")):
        invitations = read_invitations(path)
        yield invitations
        text = json.dumps({"invitations": [_as_json(each) for each in invitations]}, indent=1)
        write_private(path, text.encode())


def _as_json(given: Given) -> dict[str, Any]:
    fields = asdict(given).items()
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in fields
        if value
    }


def _given(fields: dict[str, Any]) -> Given:
    times: dict[str, Any] = {
        key: datetime.fromisoformat(fields[key]) for key in ("expires", "used_at") if key in fields
    }
    if any(time.tzinfo is None for time in times.values()):
        raise ValueError("a time has no zone")
    return Given(**(fields | times))
