"""The repository is laid out as one namespace over several folders, and every tool knows them."""

from __future__ import annotations

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
MOST_LINES = 400
LONGER: dict[str, str] = {}  # module: why it is one job all the same


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


def test_no_module_has_grown_a_second_job() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources()
    }
    too_long = {name: size for name, size in lengths.items() if size > MOST_LINES}
    assert too_long.keys() == LONGER.keys()


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
