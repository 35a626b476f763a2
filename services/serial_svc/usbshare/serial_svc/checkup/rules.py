"""Whether the files that say who may do what can be read, and are correct."""

from __future__ import annotations

from pathlib import Path

from usbshare.authorization.policy import POLICY_FILE, read_policy
from usbshare.authorization.rulebook import CLOSES_AFTER_S
from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.base.errors import ConfigError, UnreadableError
from usbshare.trust.identities import read_identities, registry_path

_UNREADABLE = (
    f"make it a regular file that the services can read: after {CLOSES_AFTER_S:.0f} s without "
    "it they allow only stops"
)
_MISTAKE = "fix it: the services keep using the previous policy, and will not start with this one"

_COPIED = "its file was copied: run `serial-svc pki revoke NAME`, then invite that computer again"


def judge_rules(folder: Path) -> Judgement:
    """Check whether a folder's policy and registry can be read. Blocks for the disk."""
    try:
        _, found = read_policy(folder / POLICY_FILE)
        records = read_identities(registry_path(folder)).values()
    except UnreadableError as error:
        return failure(str(error), _UNREADABLE)
    except ConfigError as error:
        return failure(str(error), _MISTAKE)
    if alarmed := [each for each in records if each.alarm_at is not None and not each.is_revoked]:
        names = ", ".join(f"{each.name} (from {each.alarm_from})" for each in alarmed)
        return warning(f"ALARM: superseded certificates were used: {names}", _COPIED)
    revoked = sum(each.is_revoked for each in records)
    what = f"{folder / POLICY_FILE} is correct" if found is not None else "the default policy"
    return fine(f"{what}; {len(records)} identities, {revoked} revoked")
