"""What `make` says before it sets anything up, and while it does."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "requirements" / "set_up.py"
WORD, GOOD = 2**63 - 1, (3, 11, 2)


@pytest.fixture(scope="module")
def set_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("set_up", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_check_of_the_setup_passes_here() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "check"], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("version", "longest", "has_ensurepip", "told"),
    [
        ((3, 9, 2), WORD, True, "needs Python 3.11 or newer"),
        (GOOD, 2**31 - 1, True, "install the 64-bit Raspberry Pi OS"),
        (GOOD, WORD, False, "`sudo apt install python3-venv`"),
    ],
)
def test_a_prerequisite_is_reported_with_its_remedy(
    set_up: ModuleType,
    version: tuple[int, int, int],
    longest: int,
    has_ensurepip: bool,
    told: str,
) -> None:
    why = set_up.obstacle(version, longest, has_ensurepip, "armv7l")
    assert told in why
    assert "\n" not in why


def test_a_failed_check_ends_make_before_it_makes_anything(tmp_path: Path) -> None:
    # A Debian python3 without python3-venv has no ensurepip.
    script = "import sys; sys.modules['ensurepip'] = None; sys.argv = ['x', 'check']\n"
    script += "import importlib.util, runpy\nfind = importlib.util.find_spec\n"
    script += (
        "importlib.util.find_spec = lambda name: None if name == 'ensurepip' else find(name)\n"
    )
    script += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\n[ "$2" = check ] && exec {sys.executable} -c "{script}"\n')
    python.chmod(0o755)
    command = ["make", "setup", f"PYTHON={python}", f"VENV={tmp_path / 'environment'}"]
    done = subprocess.run(
        command, check=False, cwd=SCRIPT.parents[1], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "python3-venv" in done.stderr
    assert not (tmp_path / "environment").exists()


def test_pip_is_shown_as_a_counter(
    set_up: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"package{number}" for number in range(23)]
    lock = tmp_path / "some.lock"
    lock.write_text("".join(f"{name}==1 \\\n    --hash=sha256:00\n    # via x\n" for name in names))
    talk = "".join(f"Collecting {name}==1\\n  Downloading it\\n" for name in names[:22])
    talk += "Ignoring package22: markers do not match\\nInstalling collected packages: all\\n"
    monkeypatch.setattr(sys, "executable", _pip_that_says(talk, 0, tmp_path))
    assert set_up.install([str(lock)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "  10 of 23 packages",
        "  20 of 23 packages",
        "  unpacking them",
    ]


def test_the_output_of_pip_is_shown_when_it_fails(
    set_up: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("one==1\n")
    talk = "Collecting one==1\\nERROR: no such thing\\n"
    monkeypatch.setattr(sys, "executable", _pip_that_says(talk, 3, tmp_path))
    assert set_up.install([str(lock)]) == 3
    assert "ERROR: no such thing" in capsys.readouterr().out


def _pip_that_says(talk: str, code: int, folder: Path) -> str:
    script = folder / "python"
    script.write_text(f"#!/bin/sh\nprintf '{talk}'\nexit {code}\n")
    script.chmod(0o755)
    return str(script)
