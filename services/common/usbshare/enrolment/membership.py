"""The groups of the policy as roles that identities are given at enrolment."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tomlkit import TOMLDocument

from usbshare.authorization.policy import Policy
from usbshare.authorization.policy_file import edit_policy, rehearse_edit
from usbshare.authorization.rights import SERVICE, Right
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.trust.names import is_name

RESERVED = frozenset({"host", "insecure", "job-svc", "operator"})


def role_of(policy: Policy, text: str) -> str:
    """Return the group that a role names, singular or plural; InvalidArgumentError if none."""
    for name in (text, f"{text}s"):
        if name in policy.groups:
            return name
    roles = ", ".join(sorted(policy.groups)) or "none"
    raise InvalidArgumentError(f"the policy has no group for the role {text!r}; it has: {roles}")


def require_usable_name(policy: Policy, name: str) -> None:
    """Raise InvalidArgumentError unless an invited identity may have that name."""
    if not is_name(name) or name != name.lower():
        raise InvalidArgumentError(
            f"{name!r} is not a valid name: use up to 63 lowercase letters, digits, '.', '_', "
            "'@' and '-', as in office-pc"
        )
    if name in RESERVED:
        raise InvalidArgumentError(f"{name!r} is the host's own identity: choose another name")
    if name in policy.groups:
        raise InvalidArgumentError(f"{name!r} is a group of the policy: choose another name")


def as_member(policy: Policy, name: str, former: str, role: str) -> Policy:
    """Return the policy as it will be once `move` has given the name its role."""
    groups = {
        group: [each for each in members if each != name] if group == former else members
        for group, members in policy.groups.items()
    }
    groups[role] = [*groups[role], name]
    return Policy.model_validate({**dict(policy), "groups": groups})


def rights_in_words(policy: Policy, uri: str, site_id: str, now: datetime) -> str:
    """Return an identity's rights on this host, in words: `view, stop, control`."""
    held = policy.rights(uri, site_id, SERVICE, now)

    def in_words(right: Right) -> str:
        asks = policy.decide(uri, site_id, right, SERVICE, now).confirm_for_s is not None
        return f"{right.value} with a second factor" if asks else right.value

    return ", ".join(in_words(right) for right in Right if right in held) or "nothing"


def move(path: Path, name: str, former: str, role: str) -> None:
    """Put a name into the group of its role, and out of the one of its former role.

    Without a file it is made from the template. Raises ConfigError and leaves the file alone if it
    is not correct or has no group for the role.
    """
    edit_policy(path, partial(_put, name=name, former=former, role=role))


def rehearse_move(path: Path, name: str, former: str, role: str) -> None:
    """Raise the ConfigError that `move` would raise now, and change nothing."""
    rehearse_edit(path, partial(_put, name=name, former=former, role=role))


def _put(document: TOMLDocument, name: str, former: str, role: str) -> None:
    groups: Any = document.get("groups", {})
    if role not in groups:
        raise ConfigError(f"the policy has no group {role!r}")
    if former != role:
        _remove(groups.get(former, []), name)
    if name not in groups[role]:
        groups[role].append(name)


def _remove(members: Any, name: str) -> None:
    if name in members:
        members.remove(name)
