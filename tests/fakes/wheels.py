"""The wheel of this tree, installed into separate environments without any network."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def build_wheel(folder: Path) -> Path:
    """Build the wheel as `make wheel` does; returns its path."""
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("usbshare-*.whl")
    return wheel


def pip(*arguments: str | Path) -> None:
    """Run this environment's pip without a network; fails with what it says."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run([*command, "--no-index"], check=True, cwd=ROOT, timeout=120)


class Installation:
    """An environment that has the wheel, no pip, and what one extra at a time brings.

    What an extra brings is linked from the environment of the tests. `commands` is the folder of
    its commands.
    """

    def __init__(self, wheel: Path, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
        python = str(self.commands / "python")
        install = ["--python", python, "install", "--no-compile", "--quiet", "--no-deps"]
        pip(*install, wheel)
        (self._packages,) = folder.glob("lib/python*/site-packages")

    def have(self, extra: str) -> Path:
        """Let it have what this extra brings and nothing else; returns its `commands`."""
        for link in filter(Path.is_symlink, list(self._packages.iterdir())):
            link.unlink()
        for each in _needed("usbshare", extra, set()):
            _link(each, self._packages)
        return self.commands


def _needed(name: str, extra: str, seen: set[str]) -> Iterator[Distribution]:
    """Yield what a distribution with one of its extras needs, below it too."""
    for requirement in distribution(name).requires or []:
        wanted, _, marker = requirement.partition(";")
        extras = _EXTRA.findall(marker)
        match = _NAME.match(wanted)
        if match is None or match[0] in seen or (extras and extra not in extras):
            continue
        seen.add(match[0])
        try:
            found = distribution(match[0])
        except PackageNotFoundError:  # of another platform
            continue
        yield found
        yield from _needed(match[0], "", seen)


def _link(found: Distribution, packages: Path) -> None:
    tops = {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}
    for top in tops:
        source, target = Path(str(found.locate_file(top))).resolve(), packages / top
        if not target.exists():
            target.symlink_to(source)
            if source.is_dir() and sys.pycache_prefix:
                _share_bytecode(source, target, sys.pycache_prefix)


def _share_bytecode(source: Path, target: Path, prefix: str) -> None:
    """Compile once what has two names."""
    ours, theirs = Path(f"{prefix}{source}"), Path(f"{prefix}{target}")
    for folder in (ours, theirs.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if not theirs.is_symlink():
        theirs.symlink_to(ours)
