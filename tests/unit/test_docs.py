"""What the pages say exists: keys, defaults, links, targets of make, options of the commands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from usbshare.bridge.cli import cli as bridge
from usbshare.serial_svc.cli import cli as serial_svc
from usbshare.serial_svc.settings import Settings

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
EXAMPLE = ROOT / "services" / "serial_svc" / "usbshare.example.toml"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").rglob("*.md")),
]
COMMANDS: dict[str, click.Group] = {
    "bridge": bridge,
    "usbshare-bridge": bridge,
    "serial-svc": serial_svc,
}

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def tables(model: type[BaseModel] = Settings, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name of each table in the configuration, as the page spells it, and its model."""
    for key, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            continue
        title = f"{name}.{key}".lstrip(".") + (".ID" if _is_dict(field.annotation) else "")
        yield title, inner
        yield from tables(inner, title)


def _is_dict(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    models = (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return next(models, None)


TABLES = dict(tables())


def documented(title: str) -> dict[str, list[str]]:
    """Return the rows of a table's section in the page: key to the cells after it."""
    section = OPERATIONS.read_text().split(f"### `[{title}]`\n", 1)[1].split("\n#", 1)[0]
    rows = (line.strip("|").split(" | ") for line in section.splitlines() if line[:3] == "| `")
    return {cells[0].strip(" `"): [cell.strip(" |") for cell in cells[1:]] for cells in rows}


def default_of(field: Any) -> str:
    """Return a default as the page spells it."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "unset"
    if isinstance(default, BaseModel):
        return "empty"
    if isinstance(default, str):
        return f'`"{default}"`'
    return f"`{str(default).lower()}`"


def test_the_tables_are_found() -> None:
    assert list(TABLES) == ["service", "tls", "queue", "ports.ID", "ports.ID.stop"]


@pytest.mark.parametrize("title", TABLES)
def test_every_key_is_documented_with_its_default(title: str) -> None:
    fields = TABLES[title].model_fields
    rows = documented(title)
    assert list(rows) == list(fields)
    assert {key: cells[1] for key, cells in rows.items()} == {
        key: default_of(field) for key, field in fields.items()
    }


def test_the_example_configuration_is_correct() -> None:
    result = CliRunner().invoke(serial_svc, ["--check-config", "--config", str(EXAMPLE)])
    assert result.exit_code == 0, result.output
    assert result.output == f"{EXAMPLE}: correct\n"


def test_the_example_configuration_has_every_key() -> None:
    text = re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    everything = tomllib.loads(text)
    Settings.model_validate(everything)
    (port,) = everything.pop("ports").values()
    found = {**everything, "ports.ID": port, "ports.ID.stop": port["stop"]}
    assert {title: set(keys) for title, keys in found.items()} == {
        title: set(model.model_fields) for title, model in TABLES.items()
    }


def test_the_example_shows_the_defaults() -> None:
    commented = "".join(re.findall(r"^#(\w+ = .*\n|)", EXAMPLE.read_text(), flags=re.MULTILINE))
    shown = tomllib.loads(commented)
    for title in ("service", "queue"):
        for key, field in TABLES[title].model_fields.items():
            if field.default is not None:
                assert shown[key] == field.default, key


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_of_make_exist(page: Path) -> None:
    named = {code.split()[1] for code in commands_in(page) if re.match(r"make [a-z]", code)}
    there = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert named <= set(there)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_our_commands_exist(page: Path) -> None:
    for code in commands_in(page):
        program, *words = code.split()
        if program in COMMANDS:
            group = COMMANDS[program]
            sub = [word for word in words[:1] if word in group.commands]
            known = help_of(program, *sub)
            unknown = [option for option in _OPTION.findall(code) if option not in known]
            assert not unknown, code
        elif program.startswith("--") and page.parent in (ROOT, ROOT / "docs"):
            everywhere = "".join(help_of(*words) for words in all_commands())
            assert program.split("=")[0] in everywhere, code


def commands_in(page: Path) -> Iterator[str]:
    """Yield what stands in backquotes, and each line after a `$` in a fence."""
    text = page.read_text()
    for fence in _FENCE.findall(text):
        yield from re.findall(r"^\$ (?:sudo )?(.+)$", fence, flags=re.MULTILINE)
    yield from _CODE.findall(_FENCE.sub("", text))


def help_of(program: str, *words: str) -> str:
    return CliRunner().invoke(COMMANDS[program], [*words, "--help"]).output


def all_commands() -> Iterator[tuple[str, ...]]:
    for program, group in COMMANDS.items():
        yield (program,)
        yield from ((program, name) for name in group.commands)
