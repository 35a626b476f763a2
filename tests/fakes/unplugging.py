"""A device of /sys or /dev that goes while its folders are read, as one does that is unplugged.

pathlib looks whether a folder is there and then lists it (`_WildcardSelector` of Python 3.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def unplugged_while_listed(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Let every folder be gone that is listed with, or by, a pattern with this in it."""
    glob, iterdir = Path.glob, Path.iterdir

    def gone_glob(self: Path, pattern: str) -> Iterator[Path]:
        if part in pattern:
            raise FileNotFoundError(pattern)
        yield from glob(self, pattern)

    def gone_iterdir(self: Path) -> Iterator[Path]:
        if part in str(self):
            raise FileNotFoundError(str(self))
        yield from iterdir(self)

    monkeypatch.setattr(Path, "glob", gone_glob)
    monkeypatch.setattr(Path, "iterdir", gone_iterdir)
