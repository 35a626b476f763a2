"""What the pages say exists: keys, defaults, links, targets of make, options of the commands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from usbshare.base.config import Table, load_config
from usbshare.bridge.cli import cli as bridge
from usbshare.bridge.settings import Settings as BridgeSettings
from usbshare.camera_svc.cli import cli as camera_svc
from usbshare.camera_svc.settings import Settings as CameraSettings
from usbshare.discovery_svc.cli import cli as discovery_svc
from usbshare.discovery_svc.settings import Settings as DiscoverySettings
from usbshare.job_svc.cli import cli as job_svc
from usbshare.job_svc.settings import Settings as JobSettings
from usbshare.serial_svc.cli import cli as serial_svc
from usbshare.serial_svc.settings import Settings as SerialSettings
from usbshare.usb_svc.cli import cli as usb_svc
from usbshare.usb_svc.settings import Settings as UsbSettings

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
EXAMPLES: dict[Path, tuple[str, type[Table]]] = {
    ROOT / "services" / "serial_svc" / "usbshare.example.toml": ("serial-svc", SerialSettings),
    ROOT / "services" / "discovery_svc" / "usbshare.example.toml": (
        "discovery-svc",
        DiscoverySettings,
    ),
    ROOT / "services" / "camera_svc" / "usbshare.example.toml": ("camera-svc", CameraSettings),
    ROOT / "services" / "job_svc" / "usbshare.example.toml": ("job-svc", JobSettings),
    ROOT / "services" / "usb_svc" / "usbshare.example.toml": ("usb-svc", UsbSettings),
    ROOT / "bridge" / "usbshare.example.toml": ("bridge", BridgeSettings),
}
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").rglob("*.md")),
]
COMMANDS: dict[str, click.Command] = {
    "bridge": bridge,
    "usbshare-bridge": bridge,
    "serial-svc": serial_svc,
    "discovery-svc": discovery_svc,
    "camera-svc": camera_svc,
    "job-svc": job_svc,
    "usb-svc": usb_svc,
}

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def tables(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, Any]]:
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


TABLES = {
    title: model
    for settings in (SerialSettings, DiscoverySettings, CameraSettings, JobSettings, BridgeSettings)
    for title, model in tables(settings)
}


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
    assert set(TABLES) == {
        "service",
        "tls",
        "audit",
        "queue",
        "limits",
        "ports.ID",
        "ports.ID.stop",
        "camera",
        "cameras.ID",
        "cameras.ID.controls",
        "discovery",
        "job",
        "serial",
        "jobs",
        "files",
        "hosts.ID",
        "bridge",
    }


@pytest.mark.parametrize("title", TABLES)
def test_every_key_is_documented_with_its_default(title: str) -> None:
    fields = TABLES[title].model_fields
    rows = documented(title)
    assert list(rows) == list(fields)
    assert {key: cells[1] for key, cells in rows.items()} == {
        key: default_of(field) for key, field in fields.items()
    }


@pytest.fixture(params=EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def example(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def uncommented(example: Path) -> dict[str, Any]:
    """Return the tables of an example with every key in force; one port or host stands for all."""
    text = re.sub(r"^#(?=\w+ = )", "", example.read_text(), flags=re.MULTILINE)
    everything = tomllib.loads(text)
    for several in ("ports", "cameras", "hosts"):
        for table in everything.pop(several, {}).values():
            everything[f"{several}.ID"] = table
    if stops := everything.get("ports.ID", {}).get("stop"):
        everything["ports.ID.stop"] = stops
    if controls := everything.get("cameras.ID", {}).get("controls"):
        everything["cameras.ID.controls"] = controls
    return everything


@pytest.mark.parametrize("reader", EXAMPLES.values(), ids=lambda reader: reader[0])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_program_passes_over_the_tables_of_the_others(
    example: Path, reader: tuple[str, type[Table]]
) -> None:
    load_config(example, reader[1])


def test_an_example_configuration_is_correct(example: Path) -> None:
    program, _ = EXAMPLES[example]
    result = CliRunner().invoke(COMMANDS[program], ["--check-config", "--config", str(example)])
    assert result.exit_code == 0, result.output
    assert result.output == f"{example}: correct\n"


def test_an_example_configuration_has_every_key(example: Path) -> None:
    program, settings = EXAMPLES[example]
    found = {title: set(keys) for title, keys in uncommented(example).items()}
    expected = {title: set(model.model_fields) for title, model in tables(settings)}
    # These read where discovery-svc listens, and no more of its table.
    if program in {"serial-svc", "camera-svc", "job-svc", "usb-svc"}:
        expected.pop("discovery")
        found.pop("discovery", None)
    assert found == expected


def test_an_example_shows_the_defaults(example: Path) -> None:
    shown = uncommented(example)
    for title in {
        "service",
        "queue",
        "camera",
        "cameras.ID",
        "discovery",
        "job",
        "files",
    } & shown.keys():
        for key, field in TABLES[title].model_fields.items():
            if not (field.is_required() or field.default is None or field.default_factory):
                assert shown[title][key] == field.default, key


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def headings_of(page: Path) -> set[str]:
    """Return the names under which links find the page's headings."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    for link, heading in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text()):
        if "://" not in link:
            assert heading in headings_of(page.parent / link if link else page), (link, heading)


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
            known = help_of(program, *named_in(words, COMMANDS[program]))
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


@cache
def help_of(program: str, *words: str) -> str:
    return CliRunner().invoke(COMMANDS[program], [*words, "--help"]).output


def all_commands() -> Iterator[tuple[str, ...]]:
    for program, command in COMMANDS.items():
        yield from ((program, *names) for names in names_below(command))


def names_below(command: click.Command) -> Iterator[tuple[str, ...]]:
    """Yield the way to the command and to each one below it."""
    yield ()
    for name, below in commands_of(command).items():
        yield from ((name, *names) for names in names_below(below))


def named_in(words: list[str], command: click.Command) -> Iterator[str]:
    """Yield the leading words that are commands of commands."""
    for word in words:
        if word not in commands_of(command):
            return
        yield word
        command = commands_of(command)[word]


def commands_of(command: click.Command) -> Mapping[str, click.Command]:
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: below for name, below in found.items() if below is not None}
