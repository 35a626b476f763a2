"""Changes policy.toml for people who use commands: comments stay, a mistake changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from usbshare.authorization.policy import TEMPLATE, parse_policy
from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import make_folder, require_writable, rewrite
from usbshare.base.plain_file import read_plain


def edit_policy(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Change the file in one step, made of the template if need be; one process at a time.

    Raises ConfigError if it is wrong before or after; the file then is as it was.
    """
    try:
        make_folder(path.parent)
        with file_lock(path.with_name(f".{path.name}.lock")):
            rewrite(path, _changed(path, change))
    except OSError as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from error


def rehearse_edit(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Raise the ConfigError that `edit_policy` would raise now; the file stays as it is."""
    try:
        make_folder(path.parent)
        require_writable(path, len(_changed(path, change)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from error


def _changed(path: Path, change: Callable[[TOMLDocument], None]) -> bytes:
    document = _read(path)
    change(document)
    text = tomlkit.dumps(document)
    parse_policy(path, text)
    return text.encode()


def _read(path: Path) -> TOMLDocument:
    try:
        document = tomlkit.parse(text := _text(path))
    except (OSError, ValueError, RecursionError, TOMLKitError) as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from error
    parse_policy(path, text)
    return document


def _text(path: Path) -> str:
    try:
        return read_plain(path).decode("utf-8-sig")
    except FileNotFoundError:
        return TEMPLATE
