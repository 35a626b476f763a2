"""The repository is laid out as one namespace over several folders, and every tool knows them."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PORTIONS: list[str] = PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
TYPED = sorted(
    package for portion in PORTIONS for package in (ROOT / portion / "usbshare").iterdir()
)
MOST_PUBLIC_MEMBERS = 20
WIDER = {  # class: why it is one job all the same
    "exchange.Exchange": "what two threads share, under one lock",
    "line_upstream.LineUpstream": "as Upstream, of lines",
    "remote_line.RemoteLine": "the calls that pyserial makes of a port",
    "upstream.Upstream": "one queue, from both of its ends",
}


def sources() -> list[Path]:
    """Return every Python file of the product, without tests and generated code."""
    folders = [ROOT / portion for portion in PORTIONS if portion != "proto/gen"]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@pytest.mark.parametrize("portion", PORTIONS)
def test_no_portion_hides_the_others(portion: str) -> None:
    assert (ROOT / portion / "usbshare").is_dir()
    assert not (ROOT / portion / "usbshare" / "__init__.py").exists()


@pytest.mark.parametrize("package", TYPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_package_says_that_it_is_typed(package: Path) -> None:
    # PEP 561: a namespace has no marker of its own, each portion's packages have one.
    if package.name == "__pycache__":
        return
    assert list(package.rglob("py.typed")), f"{package} has no py.typed"


def test_all_tools_know_the_same_portions() -> None:
    tools = PROJECT["tool"]
    wheel = tools["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert wheel == [f"{portion}/usbshare" for portion in PORTIONS]
    assert tools["mypy"]["mypy_path"] == [*PORTIONS, "tests"]
    assert tools["pytest"]["ini_options"]["pythonpath"][: len(PORTIONS)] == PORTIONS
    assert set(PORTIONS) <= set(tools["ruff"]["src"])


def test_every_folder_with_the_namespace_is_a_portion() -> None:
    above = [path for top in ("proto", "services", "bridge") for path in (ROOT / top).rglob("*")]
    found = {
        str(path.parent.relative_to(ROOT))
        for path in above
        if path.is_dir() and path.name == "usbshare" and any(path.rglob("*.py"))
    }
    assert found == set(PORTIONS)


def _public_members(kind: ast.ClassDef) -> set[str]:
    """Return the methods and properties of a class that others may use."""
    functions = (
        each for each in kind.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {each.name for each in functions if not each.name.startswith("_")}


def test_no_class_offers_more_than_a_reader_keeps_in_mind() -> None:
    too_many = {
        f"{path.stem}.{kind.name}": len(_public_members(kind))
        for path in sources()
        for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(kind, ast.ClassDef) and len(_public_members(kind)) > MOST_PUBLIC_MEMBERS
    }
    assert too_many.keys() == WIDER.keys(), too_many


def test_every_package_is_in_the_walls() -> None:
    # import-linter checks what it is told of: a folder that is forgotten there fails here.
    linter = PROJECT["tool"]["importlinter"]
    found = {
        ".".join(package.relative_to(ROOT / portion).parts)
        for portion in PORTIONS
        for marker in (ROOT / portion / "usbshare").rglob("py.typed")
        for package in [marker.parent]
    }
    assert set(linter["root_packages"]) == found
    layers, only_rpc, only_commands, *_ = linter["contracts"]
    ours = {name for name in found if not name.endswith(".v1")}
    assert {each for layer in layers["layers"] for each in re.split(r" [|:] ", layer)} == ours
    rpc = {"usbshare.rpc", "usbshare.client", "usbshare.service"}
    assert set(only_rpc["source_modules"]) == ours - rpc
    assert set(only_commands["source_modules"]) == ours - {"usbshare.service"}


_SHARED_THREADS = re.compile(r"ThreadPoolExecutor\(")


def test_no_blocking_call_is_in_threads_that_others_wait_for() -> None:
    # See usbshare.base.threads. Encoding computes only, and waits for nothing.
    allowed = {"services/camera_svc/usbshare/camera_svc/service.py"}
    found = {
        str(path.relative_to(ROOT))
        for path in sources()
        if _SHARED_THREADS.search(path.read_text(encoding="utf-8"))
    }
    assert found == allowed


@pytest.mark.parametrize(
    "page",
    [ROOT / "docs/architecture.md", *sorted((ROOT / "services").glob("*/README.md"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`([\w/*]+\.py)`", page.read_text(encoding="utf-8")))
    folders = ("services", "bridge", "tests", "tools")
    files = [str(path) for folder in folders for path in (ROOT / folder).rglob("*.py")]
    missing = {each for each in named if not fnmatch.filter(files, f"*/{each}")}
    assert not missing
