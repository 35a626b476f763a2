"""Lists of the panel, kept in files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.paths import make_private, write_private
from usbshare.base.plain_file import read_object

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptList(Generic[T]):
    """A list under one key of a JSON file; `parse` raises InvalidArgumentError."""

    file_name: str
    key: str
    what: str
    most_bytes: int
    parse: Callable[[Any], T]
    as_json: Callable[[T], object]

    def load(self, folder: Path) -> list[T]:
        """Return the saved items; unreadable ones are left out with a warning. Blocks."""
        path = folder / self.file_name
        try:
            told = read_object(path, self.most_bytes).get(self.key, [])
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read: %s: %s", self.what, path, error)
            return []
        found = []
        for each in told if isinstance(told, list) else []:
            try:
                found.append(self.parse(each))
            except InvalidArgumentError as error:
                _log.warning("%s: %s", path, error)
        return found

    def save(self, folder: Path, items: Iterable[T]) -> None:
        """Note them; raises OSError. Blocks."""
        make_private(folder)
        content = json.dumps({self.key: [self.as_json(each) for each in items]}, indent=2)
        write_private(folder / self.file_name, content.encode() + b"\n")
