"""Changes policy.toml for people who use commands: comments stay, a mistake changes nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import tomlkit
from pydantic import ValidationError
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from usbshare.common.access.policy import TEMPLATE, Policy
from usbshare.common.config import explain_mistakes
from usbshare.common.errors import ConfigError
from usbshare.common.file_lock import file_lock
from usbshare.common.paths import rewrite


def edit_policy(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Change the file in one step, made of the template if need be; one process at a time.

    Raises ConfigError if it is wrong before or after; the file then is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_name(f".{path.name}.lock")):
        document = _read(path)
        change(document)
        text = tomlkit.dumps(document)
        _check(path, text)
        try:
            rewrite(path, text.encode())
        except OSError as error:
            raise ConfigError(f"{path} cannot be changed: {error}") from error


def _read(path: Path) -> TOMLDocument:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else TEMPLATE
        document = tomlkit.parse(text)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from error
    _check(path, text)
    return document


def _check(path: Path, text: str) -> None:
    try:
        Policy.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(explain_mistakes(path, error, Policy)) from None
