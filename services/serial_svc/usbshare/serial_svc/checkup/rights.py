"""Whether this user may read and write a device, on POSIX."""

from __future__ import annotations

import getpass
import grp
import os
import stat
from collections.abc import Callable
from pathlib import Path

from usbshare.base.checkup import Judgement, failure, fine

_GROUP_MAY = 0o060


def may_use(path: Path) -> bool:
    """Return whether this process may read and write it; counts ACLs too."""
    return os.access(path, os.R_OK | os.W_OK)


def judge_rights(path: Path, may: Callable[[Path], bool] = may_use) -> Judgement:
    """Check whether this user may use the device; the remedy says how to allow it."""
    found, user = path.stat(), getpass.getuser()
    group = _group_name(found.st_gid)
    mode = stat.filemode(found.st_mode)
    if may(path):
        return fine(f"{user} can read and write it ({mode}, group {group})")
    measured = f"{user} cannot open {path} ({mode}, group {group})"
    return failure(measured, _remedy(path, found, user, group))


def _remedy(path: Path, found: os.stat_result, user: str, group: str) -> str:
    if found.st_gid == 0 or found.st_mode & _GROUP_MAY != _GROUP_MAY:
        return (
            'give a group access: a udev rule with GROUP="dialout", MODE="0660"; until the '
            f"next replug `sudo setfacl -m u:{user}:rw {path}` helps"
        )
    if user in _members(group):
        return f"{user} was added to group {group} after the last login: log in again (or reboot)"
    return f"`sudo usermod -aG {group} {user}`, then log in again"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return []
