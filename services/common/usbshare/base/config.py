"""Configuration files: read whole with every mistake at once, written with comments kept."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, MutableMapping, Set
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
import tomlkit.items
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from usbshare.base.errors import ConfigError, UsbshareError
from usbshare.base.paths import make_folder, rewrite
from usbshare.base.plain_file import read_plain

# One file serves every process of a computer; each reads its own tables and passes over the rest.
TABLES = frozenset(
    {"service", "tls", "audit", "queue", "limits", "ports", "camera", "cameras", "discovery"}
    | {"hosts", "bridge", "job", "jobs", "files", "serial", "usb"}
)


# Editors of Windows begin UTF-8 with a mark.
ENCODING = "utf-8-sig"


class Table(BaseModel):
    """A table of the configuration; keys that it does not know are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


TableT = TypeVar("TableT", bound=Table)


def checked(check: Callable[[str], object]) -> AfterValidator:
    """Return a validator that keeps the text and reports the check's own words."""

    def validate(text: str) -> str:
        try:
            check(text)
        except UsbshareError as error:
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(validate)


def load_config(path: Path | None, model: type[TableT]) -> TableT:
    """Read and validate a file, all of it; raises ConfigError with one line for each mistake."""
    if path is None:
        return model()
    try:
        return model.model_validate(_own_tables(read_config(path), model))
    except ValidationError as error:
        raise ConfigError(explain_mistakes(path, error, model, TABLES)) from None


def explain_mistakes(
    path: Path, error: ValidationError, model: type[Table], tables: Set[str] = frozenset()
) -> str:
    """Return a line for each mistake in a file, in which there may be tables of others."""
    return "\n".join(_explain(path, details, model, tables) for details in error.errors())


def read_config(path: Path) -> dict[str, Any]:
    """Return what a file says, unchecked; raises ConfigError."""
    try:
        return tomllib.loads(read_plain(path).decode(ENCODING))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error.reason}: save it as UTF-8") from error
    except RecursionError:
        raise ConfigError(f"{path}: tables or lists are nested too deeply") from None
    except (OSError, ValueError) as error:  # no TOML, or a number that is none
        raise ConfigError(f"{path}: {error}") from error


def dumps_config(settings: Table) -> str:
    """Return the settings in force as TOML; what is unset is left out."""
    return tomlkit.dumps(settings.model_dump(mode="json", exclude_none=True))


def write_config(path: Path, changes: Mapping[tuple[str, ...], Any]) -> None:
    """Set keys (None: take it away) in a file, made if need be; comments and order stay.

    A key is the way to it: `("bridge", "target")`. Raises ConfigError; the file then is as it was.
    """
    try:
        document = tomlkit.parse(read_plain(path).decode(ENCODING) if path.exists() else "")
        for key, value in changes.items():
            _set(document, key, value)
        make_folder(path.parent)
        rewrite(path, tomlkit.dumps(document).encode())
    except (OSError, ValueError, RecursionError, TOMLKitError, ConfigError) as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from error


def _set(document: TOMLDocument, key: tuple[str, ...], value: Any) -> None:
    table: Any = document
    *names, last = key
    for name in names:
        if name not in table:
            if value is None:
                return
            table[name] = tomlkit.table(is_super_table=name != names[-1])
        table = table[name]
        if not isinstance(table, MutableMapping):
            raise ConfigError(f"{name} is {table!r}, not a table")
    _set_in_table(table, last, value)


def _set_in_table(table: Any, key: str, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    elif key in table or not isinstance(table, tomlkit.items.Table):
        table[key] = value
    else:
        _append(table, key, value)


def _append(table: tomlkit.items.Table, key: str, value: Any) -> None:
    """Add a key behind the last one; comments after that may be about the next table."""
    body, after = table.value.body, []
    while body and body[-1][0] is None:
        after.append(body.pop())
    table.append(key, value)
    body.extend(reversed(after))


def _own_tables(found: dict[str, Any], model: type[Table]) -> dict[str, Any]:
    others = TABLES - model.model_fields.keys()
    return {key: value for key, value in found.items() if key not in others}


def _explain(path: Path, details: ErrorDetails, model: type[BaseModel], tables: Set[str]) -> str:
    key = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        is_table = len(details["loc"]) == 1
        keys = (is_table and tables) or _keys_beside(model, details["loc"])
        accepted = ", ".join(sorted(keys))
        return f"{path}: {key}: no such key; accepted: {accepted}"
    if details["type"] == "missing":
        return f"{path}: {key}: missing, and required"
    reason = details["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {details['input']!r}: {reason}"


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Return the keys that the table at the location's parent takes."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _table_in(field.annotation) or model
    return set(model.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation such as `dict[str, PortTable]` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _table_in(argument)) is not None:
            return found
    return None
