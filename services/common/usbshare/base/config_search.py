"""Which configuration file is read: one asked for by name, or the first of its places."""

from __future__ import annotations

import os
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.base.paths import SETTINGS_FILE, has_modes, own_uid, settings_path

CONFIG_VARIABLE = "USBSHARE_CONFIG"


def find_config(asked: Path | None) -> Path | None:
    """Return the first of --config, USBSHARE_CONFIG, ./usbshare.toml, the user's folder.

    A file that was asked for by name must exist, and what exists be a plain file: ConfigError
    otherwise.
    """
    named = asked or (Path(value) if (value := os.environ.get(CONFIG_VARIABLE)) else None)
    if named is not None:
        if not _is_plain_file(named):
            raise ConfigError(f"configuration file {named} does not exist")
        return named
    here = Path(SETTINGS_FILE)
    if _is_in_sight(here) and _is_plain_file(here):
        _require_trusted(here)
        return here
    return path if _is_plain_file(path := settings_path()) else None


def _is_in_sight(here: Path) -> bool:
    """Return whether this folder may be looked into: `sudo -u` stays in the caller's own home."""
    try:
        here.exists()
    except PermissionError:
        return False
    return True


def _require_trusted(here: Path) -> None:
    """Raise ConfigError if others may have put the file there: it was not asked for by name."""
    if not has_modes():
        return
    for path in (here, here.absolute().parent):
        found = path.stat()
        is_ours = found.st_uid in {0, own_uid()}
        by_group = bool(found.st_mode & 0o020) and (own_uid() == 0 or found.st_gid != os.getegid())
        if not is_ours or by_group or found.st_mode & 0o002:
            raise ConfigError(
                f"other users can write to {path.absolute()}, so ./{SETTINGS_FILE} is ignored: "
                f"use --config {SETTINGS_FILE} if it is yours, or go to another folder"
            )


def _is_plain_file(path: Path) -> bool:
    if path.is_file() or not path.exists():
        return path.is_file()
    raise ConfigError(
        f"configuration file {path} is not a regular file: put one there, or name another with "
        "--config"
    )
