"""The texts of systemd units: the shipped ones, adapted to a program and a user."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# Not possible or not needed in a user's own manager, which runs as that user.
_SYSTEM_ONLY = (
    "User",
    "SupplementaryGroups",
    "StateDirectory",
    "StateDirectoryMode",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "Environment",
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "LockPersonality",
    "Nice",
    "CPUWeight",
)
_SYSTEM_ONLY_PREFIXES = ("Private", "Protect", "Restrict", "SystemCall", "Device")
_ALLOWED_RESTRICT = ("Restart", "RestartSec")
_NETWORK = ("After=network-online.target", "Wants=network-online.target")
_PLAIN = re.compile(r"[A-Za-z0-9_@:/.,+=\[\]*~-]+")


def system_unit(shipped: str, command: Sequence[str], user: str) -> str:
    """Return the shipped unit for this command line and user, else as it is."""
    text = _with(shipped, "ExecStart", " ".join(map(_quoted, command)))
    return _with(text, "User", user) if user else text


def user_unit(shipped: str, command: Sequence[str]) -> str:
    """Return the shipped unit as a user's own manager can run it."""
    text = _with(shipped, "ExecStart", " ".join(map(_quoted, command)))
    text = _with(text, "WantedBy", "default.target")
    kept: list[str] = []
    for line in text.splitlines():
        if line.startswith("# Installed as"):
            kept.append("# A unit of the user's own manager; the system's is restricted further.")
        elif line.startswith("#"):
            continue  # of what is restricted
        elif line not in _NETWORK and not _is_system_only(line.partition("=")[0]):
            kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)) + "\n"


def user_of(unit: str) -> str:
    """Return the user that a unit runs as; empty if it names none."""
    found = re.search(r"(?m)^User=(.*)$", unit)
    return found[1] if found else ""


def command_of(unit: str) -> list[str]:
    """Return the command line of a unit."""
    found = re.search(r"(?m)^ExecStart=(.*)$", unit)
    return [] if found is None else shlex.split(found[1].replace("%%", "%").replace("$$", "$"))


def _with(text: str, key: str, value: str) -> str:
    return re.sub(rf"(?m)^{key}=.*$", lambda _: f"{key}={value}", text)


def _is_system_only(key: str) -> bool:
    if key in _ALLOWED_RESTRICT:
        return False
    return key in _SYSTEM_ONLY or key.startswith(_SYSTEM_ONLY_PREFIXES)


def _quoted(word: str) -> str:
    """Return a word quoted for systemd: specifiers, variables and spaces are literal."""
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
