"""Revokes an identity: its certificates and the invitations for it and by it are void."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.trust import identities, invitations
from usbshare.trust.identities import registry_path, short_name
from usbshare.trust.invitations import invitations_path, read_invitations

# A newcomer's time of use is noted before it waits for the file, which may take long.
_LATELY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ShutOut:
    """The names whose invitations were withdrawn; `trouble` says why that failed, if it did."""

    withdrawn: tuple[str, ...] = ()
    trouble: str = ""


def shut_out(folder: Path, uri: str, reason: str, now: datetime) -> ShutOut:
    """Revoke the identity, even if the rest fails; after ConfigError or OSError it is not revoked.

    A computer that uses an invitation meanwhile is revoked too.
    """
    registry, given = registry_path(folder), invitations_path(folder)
    revoked_at = identities.revoke(registry, uri, reason, now).revoked_at or now
    try:
        withdrawn = invitations.withdraw(given, short_name(uri), now, given_by=uri)
        if _is_used(given, short_name(uri), now - _LATELY):
            # What was issued since is dated a second after the revocation that it has seen.
            identities.revoke(registry, uri, reason, revoked_at + timedelta(seconds=1))
    except (ConfigError, OSError) as error:
        return ShutOut(trouble=str(error))
    return ShutOut(tuple(withdrawn))


def _is_used(path: Path, name: str, since: datetime) -> bool:
    uses = (each.used_at for each in read_invitations(path) if each.name == name)
    return any(used_at is not None and used_at >= since for used_at in uses)
