"""Reads the settings at a program's start, from a disk that may hang."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from usbshare.base.config_search import CONFIG_VARIABLE
from usbshare.base.deadline import in_time
from usbshare.base.errors import ConfigError
from usbshare.base.legacy.import_settings import Side, import_older_settings
from usbshare.base.paths import config_folder

T = TypeVar("T")
Tell = Callable[[str], None]

SETTINGS_TIMEOUT_S = 30.0
OLDER_TIMEOUT_S = 5.0
_OLDER = "the older tool's settings"


def read_in_time(path: Path | None, read: Callable[[], T], tell: Tell) -> T:
    """Return what `read` reads of the path, or of the configuration folder if none was named.

    Says after a second what is waited for; raises ConfigError after 30 s, and what `read` raises.
    """
    where = path or config_folder()
    try:
        return in_time(str(where), read, tell, SETTINGS_TIMEOUT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"{where} does not answer within {SETTINGS_TIMEOUT_S:g} s: fix its disk, or choose "
            "another place with --config or USBSHARE_HOME, then start again"
        ) from error


def asked_path(asked: Path | None) -> Path | None:
    """Return the configuration file that somebody named, with --config or USBSHARE_CONFIG."""
    named = os.environ.get(CONFIG_VARIABLE)
    return asked or (Path(named) if named else None)


def import_older_in_time(side: Side, asked: Path | None, tell: Tell) -> None:
    """Take the older tool's settings over, if there are any and that takes no longer than 5 s.

    They are not needed to start: any failure is reported, and the start continues.
    """
    try:
        in_time(_OLDER, lambda: import_older_settings(side, asked, tell), tell, OLDER_TIMEOUT_S)
    except TimeoutError:
        tell(f"ignoring {_OLDER}: no answer within {OLDER_TIMEOUT_S:g} s")
    except Exception as error:
        tell(f"ignoring {_OLDER}: {error}")
