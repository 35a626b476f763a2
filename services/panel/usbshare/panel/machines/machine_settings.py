"""A machine's own settings, as firmware that answers `$$` with `$110=500.000` tells them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from usbshare.line.profiles import Profile

ASK = "$$"
_HAVE = frozenset({"grbl", "grblhal", "grbl09"})
_SETTING = re.compile(r"\$(\d{1,5})=(-?\d+(?:\.\d+)?)")
_CHANGES = re.compile(r"\$(\d+=|RST=)", re.IGNORECASE)


def has_settings(profile: Profile) -> bool:
    """Return whether the firmware of a profile answers `ASK`."""
    return profile.name in _HAVE


def told(lines: Iterable[str]) -> dict[int, float]:
    """Return the settings that an answer names, by number."""
    found = (_SETTING.match(line) for line in lines)
    return {int(each[1]): float(each[2]) for each in found if each}


def are_changed_by(lines: Iterable[str]) -> bool:
    """Return whether a line changes settings."""
    return any(_CHANGES.match("".join(line.split())) for line in lines)
