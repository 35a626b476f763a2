"""A command that a text prints works where it is read: iproute2 installs a `bridge` too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from usbshare.bridge.cli import cli

ROOT = Path(__file__).parents[2]
_SUBCOMMANDS = "|".join(cli.list_commands(None))  # type: ignore[arg-type]  # needs no context
_BARE = re.compile(rf"(?<![\w./\[-])bridge (?:(?:{_SUBCOMMANDS})(?!\w)|--\w)")
_NAMES_OF_SESSIONS = re.compile(r"client_name\(f?\"bridge ")
TEXTS = [
    ROOT / "README.md",
    ROOT / "Makefile",
    *(
        path
        for folder in ("docs", "services", "bridge", "proto/usbshare")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".md", ".py", ".toml", ".sh", ".proto", ".service"}
    ),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_suggests_a_command_that_iproute2_answers(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if _BARE.search(line) and not _NAMES_OF_SESSIONS.search(line)]
    found = [line for line in found if "the bridge " not in line]
    assert not found
