"""What this computer may do with a machine or a camera, and why not, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from usbshare.client.access import OwnRights

_NAMES = {
    "view": "see it",
    "stop": "stop it",
    "control": "control it",
    "admin": "take it from its holder",
}


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether something may be done; `needs_code`: a code of the second factor comes first."""

    is_allowed: bool
    needs_code: bool = False
    reason: str = ""


def permission(rights: Iterable[OwnRights] | None, kind: str, id_: str, right: str) -> Permission:
    """Return whether a right is there; `rights` None while nothing is known of them."""
    if rights is None:
        return Permission(False, reason="the host has not yet reported what this computer may do")
    own = next((each for each in rights if each.kind == kind and each.id == id_), None)
    if own is None or right not in own.rights:
        return Permission(False, reason=f"this computer may not {_NAMES[right]}: the host decides")
    if right in own.to_confirm:
        return Permission(True, True, "a code from the authenticator app is needed first")
    return Permission(True)
