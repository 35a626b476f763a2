"""Descriptors 0 to 2 are open after the start of every program, whatever its launcher closed."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLOSED = [each for size in range(4) for each in combinations((0, 1, 2), size)]
REPORT = """
import os, sys
from usbshare.base.standard_streams import ensure_standard_streams
before = [os.path.exists(f"/proc/self/fd/{n}") for n in range(3)]
ensure_standard_streams()
opened = os.open("/dev/null", os.O_RDONLY)
print("lost unless stdout is open")
print("lost unless stderr is open", file=sys.stderr)
found = [os.readlink(f"/proc/self/fd/{n}") for n in range(3)]
streams = [stream is not None and stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)]
with open(sys.argv[1], "w") as file:
    print(before, opened, found, streams, sys.stdin.read(), sep="\\n", file=file)
"""
# What starts a process: each first makes sure of its descriptors.
STARTS = [
    *sorted((ROOT / "services").rglob("__main__.py")),
    *sorted((ROOT / "bridge").rglob("__main__.py")),
    ROOT / "bridge/usbshare/bridge/demo/cli.py",
    ROOT / "services/common/usbshare/service/start.py",
    ROOT / "services/common/usbshare/service/supervisor.py",
]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_closed_streams_are_opened_and_open_ones_stay(
    tmp_path: Path, closed: tuple[int, ...]
) -> None:
    report = tmp_path / "report"
    redirections = " ".join(f"{number}>&-" for number in closed)
    script = f'exec "$0" -c "$1" "$2" {redirections}'
    result = subprocess.run(
        ["sh", "-c", script, sys.executable, REPORT, str(report)],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    before, opened, found, streams, read = report.read_text().splitlines()
    assert before == str([number not in closed for number in range(3)])
    assert int(opened) > 2
    for number in closed:
        assert found.count("/dev/null") >= len({0, *closed}), f"{number}: {found}"
    assert streams == "[0, 1, 2]"
    assert read == ""
    assert ("stdout" in result.stdout) is (1 not in closed)
    assert ("stderr" in result.stderr) is (2 not in closed)


def test_without_a_null_device_a_closed_stdin_is_at_its_end() -> None:
    script = (
        "import os, sys; os.close(0); os.close(1); os.devnull = '/nowhere/null'\n"
        "from usbshare.base.standard_streams import ensure_standard_streams\n"
        "ensure_standard_streams()\n"
        "assert os.read(0, 1) == b''\n"
        "try:\n os.write(1, b'x')\n"
        "except BrokenPipeError: sys.stderr.write('both ends lead nowhere')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, timeout=60
    )
    assert result.stderr == b"both ends lead nowhere"


@pytest.mark.parametrize("path", STARTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_makes_sure_of_them_first(path: Path) -> None:
    begins = re.compile(r'def (?:main|start_service)\([^)]*\) -> None:\n {4}""".*?"""\n', re.DOTALL)
    text = path.read_text()
    found = begins.search(text)
    assert found is not None
    first = text[found.end() :].lstrip()
    assert first.startswith(("ensure_standard_streams()", "start_service("))


def test_every_program_that_is_installed_is_among_them() -> None:
    project = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[2]
    targets = re.findall(
        r'^\S+ = "usbshare\.(\S+):main"$', project.partition("\n[")[0], re.MULTILINE
    )
    assert targets
    names = {".".join(path.with_suffix("").parts[-2:]) for path in STARTS}
    assert set(targets) <= names


def test_standard_streams_are_inherited_by_children() -> None:
    script = (
        "import os, subprocess, sys; os.close(0)\n"
        "from usbshare.base.standard_streams import ensure_standard_streams\n"
        "ensure_standard_streams()\n"
        "sys.exit(subprocess.call([sys.executable, '-c', 'import os; os.fstat(0)']))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
