"""Configuration files: where they are found, and every mistake in one at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from usbshare.common.errors import ConfigError
from usbshare.common.paths import SETTINGS_FILE, settings_path

ENVIRONMENT_NAME = "USBSHARE_CONFIG"


class Table(BaseModel):
    """A table of the configuration; keys that it does not know are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


TableT = TypeVar("TableT", bound=Table)


def find_config(asked: Path | None) -> Path | None:
    """Return the first of --config, USBSHARE_CONFIG, ./usbshare.toml, the user's folder.

    A file that was asked for by name must exist: ConfigError otherwise.
    """
    named = asked or (Path(value) if (value := os.environ.get(ENVIRONMENT_NAME)) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"configuration file {named} does not exist")
        return named
    candidates = (Path(SETTINGS_FILE), settings_path())
    return next((path for path in candidates if path.is_file()), None)


def load_config(path: Path | None, model: type[TableT]) -> TableT:
    """Read and validate a file, all of it; raises ConfigError with one line for each mistake."""
    if path is None:
        return model()
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        lines = [_explain(path, details, model) for details in error.errors()]
        raise ConfigError("\n".join(lines)) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def dumps_config(settings: Table) -> str:
    """Return the settings in force as TOML; what is unset is left out."""
    return tomlkit.dumps(settings.model_dump(mode="json", exclude_none=True))


def _explain(path: Path, details: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        accepted = ", ".join(_keys_beside(model, details["loc"]))
        return f"{path}: {key}: no such key; accepted: {accepted}"
    reason = details["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {details['input']!r}: {reason}"


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at the location's parent takes."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _table_in(field.annotation) or model
    return sorted(model.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation such as `dict[str, PortTable]` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _table_in(argument)) is not None:
            return found
    return None
