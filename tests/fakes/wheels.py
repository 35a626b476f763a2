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


def install(wheel: Path, folder: Path, extra: str = "") -> Path:
    """Make an environment that has the wheel and what the extra brings, and no pip.

    What it brings is linked from the environment of the tests. Returns the folder of commands.
    """
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = commands / "python"
    arguments = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    subprocess.run(
        [
            *map(str, arguments),
            "install",
            "--no-compile",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
        timeout=120,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    for each in _needed("usbshare", extra, set()):
        _link(each, packages)
    return commands


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
        target = packages / top
        if not target.exists():
            target.symlink_to(Path(str(found.locate_file(top))).resolve())
