"""Takes over, once, the settings files of the older tool where this user has any."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from usbshare.base.config_search import find_config
from usbshare.base.errors import ConfigError
from usbshare.base.paths import (
    HOME_VARIABLE,
    make_private,
    settings_path,
    state_folder,
    write_private,
)
from usbshare.base.plain_file import read_object

if TYPE_CHECKING:
    from usbshare.base.legacy.settings import Key, Taken

MOST_BYTES = 64 * 1024
_FOLDERS = ("USBNetworkShare", "usb_network_share")
_HOME_FOLDER = ".usb_network_share"
# Where one of a group is set already, none of them is taken over.
_ONE_OF = (
    {("bridge", kind) for kind in ("vcom", "usb_port", "tcp", "rfc2217")},
    {("discovery", "mdns"), ("discovery", "beacon")},
)

Tell = Callable[[str], None]


class Side(Enum):
    """Whose settings; the value is the file's name."""

    SERVER = "server_config.json"
    CLIENT = "client_config.json"


def import_older_settings(side: Side, asked: Path | None, tell: Tell) -> None:
    """Take the older tool's settings over into the user's usbshare.toml, with a line for each key.

    Does nothing the second time, without such a file, and while another usbshare.toml than the
    user's is in force. Never raises, and never changes what the configuration says already.
    """
    if os.environ.get(HOME_VARIABLE):  # as for a demonstration, which must not find real devices
        return
    if (older := _find(side)) is None or _is_another_in_force(asked):
        return  # without a look at the state folder, which may hang
    marker = state_folder() / f"imported-{side.value}"
    from usbshare.base.file_lock import file_lock  # noqa: PLC0415 - seldom needed

    try:
        if marker.exists():
            return
        make_private(marker.parent)
        with file_lock(marker.with_suffix(".lock")):
            if not marker.exists() and _take_over(side, older, tell):
                write_private(marker, f"{older}\n".encode())
    except (OSError, ConfigError) as error:
        tell(f"cannot record in {marker.parent} that {older} is imported: {error}")


def _find(side: Side) -> Path | None:
    return next((path for path in _candidates(side) if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that is not ours to enter, as with ProtectHome= of systemd
        return False


def _candidates(side: Side) -> Iterator[Path]:
    for name in _FOLDERS:
        yield _user_folder() / name / side.value
    try:
        yield Path.home() / _HOME_FOLDER / side.value
    except RuntimeError:  # a service's user may have no home
        return


def _user_folder() -> Path:
    roaming = os.environ.get("APPDATA")  # Windows; what platformdirs gives there is the local one
    return Path(roaming) if roaming else platformdirs.user_config_path()


def _is_another_in_force(asked: Path | None) -> bool:
    try:
        path = find_config(asked)
    except ConfigError:
        return True  # which is reported soon after
    return path is not None and path.resolve() != settings_path().resolve()


def _take_over(side: Side, older: Path, tell: Tell) -> bool:
    """Import the file; False when that is to be tried again next time."""
    from usbshare.base.config import read_config, write_config  # noqa: PLC0415
    from usbshare.base.legacy import settings  # noqa: PLC0415 - seldom needed

    try:
        found = read_object(older, MOST_BYTES)
    except (OSError, ValueError) as error:
        tell(f"{older} is damaged and not imported: {error}")
        return True
    meanings = {Side.SERVER: settings.server_settings, Side.CLIENT: settings.client_settings}
    path = settings_path()
    try:
        known = read_config(path) if path.exists() else {}
        plan = [_without_known(each, known, path) for each in meanings[side](found)]
        if changes := {key: value for each in plan for key, value in each.changes.items()}:
            write_config(path, changes)
    except ConfigError as error:
        tell(f"{older} is not imported: {error}")
        return False
    for each in plan:
        tell(f"{older}: {', '.join(each.keys)}: {each.text or _told(each.changes)}")
    result = f"imported into {path}" if changes else "nothing to import"
    tell(f"{older}: {result}; it will not be read again")
    return True


def _without_known(taken: Taken, config: Mapping[str, Any], path: Path) -> Taken:
    """Return it without changes if the configuration says already what it would set."""
    rivals = {key for group in _ONE_OF if group & taken.changes.keys() for key in group}
    known = next((key for key in {*taken.changes, *rivals} if _is_set(config, key)), None)
    if known is None:
        return taken
    return replace(taken, text=f"not imported: {path} already has {_named(known)}", changes={})


def _is_set(config: Mapping[str, Any], key: Key) -> bool:
    if key[0] == "ports":  # with one port configured, the others are left out on purpose
        return "ports" in config
    table = config.get(key[0])
    return isinstance(table, dict) and key[1] in table


def _told(changes: Mapping[Key, Any]) -> str:
    return ", ".join(
        f"{_named(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in changes.items()
    )


def _named(key: Key) -> str:
    return f"[{'.'.join(key[:-1])}] {key[-1]}"
