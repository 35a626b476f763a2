"""`bridge job analyse` and `preview` as a person calls them, with a host and without."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from fakes.json_schema import mistakes
from fakes.processes import SCRIPTS, completed, environment, run, serial_service

SQUARE = "G21 G90\nM4 S500\nG0 X10 Y10\nG1 X60 F3000\nY40\nX10\nY10\nM5\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "ports.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


@pytest.fixture
def square(tmp_path: Path) -> str:
    path = tmp_path / "square.nc"
    path.write_text(SQUARE)
    return str(path)


def analysis(home: Path, *words: str) -> dict[str, object]:
    done = completed(["usbshare-bridge", "job", "analyse", "--json", *words], home)
    found: dict[str, object] = json.loads(done.stdout)
    assert mistakes(found, "job_analysis") == []
    return found


def test_without_a_host_a_file_is_analysed_by_defaults(home: Path, square: str) -> None:
    code, output = run(["usbshare-bridge", "job", "analyse", square], home)
    assert code == 0, output
    assert "square.nc: 8 lines" in output
    assert "moves  X 10.0 to 60.0, Y 10.0 to 40.0 mm" in output
    assert "no findings" in output
    assert analysis(home, square)["travel"] is None


def test_a_host_is_asked_for_its_machine(home: Path, target: str, square: str) -> None:
    found = analysis(home, square, "--target", target, "--port", "laser")
    assert found["has_machine_settings"]
    assert found["travel"] == {"low": [-400.0, -400.0, -50.0], "high": [0.0, 0.0, 0.0]}
    assert found["line_bytes_per_s"] == 11520.0
    assert found["error_count"] == 2  # the simulator's zero is where its travel ends


def test_errors_make_the_exit_code_1_and_are_printed(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.nc"
    path.write_text("G0 X1\nG1 X2\nQ7\n")
    code, output = run(["usbshare-bridge", "job", "analyse", str(path)], home)
    assert code == 1
    assert "line 2       error:22  no feed rate is set (F): G1 X2" in output
    assert "line 3       error:20  GRBL has no such word: Q7" in output


def test_a_pipe_is_a_file_too(home: Path) -> None:
    command = [str(SCRIPTS / "usbshare-bridge"), "job", "analyse", "-", "--json"]
    done = subprocess.run(
        command,
        input=SQUARE.encode(),
        env={**os.environ, **environment(home)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["name"] == "standard input"
    assert found["file"]["lines"] == 8


def test_a_preview_is_a_picture_and_segments(home: Path, square: str, tmp_path: Path) -> None:
    png, segments, settings = (tmp_path / name for name in ("a.png", "a.json", "machine.txt"))
    settings.write_text("$130=200.000\n$131=100.000\n$132=10.000\nok\n")
    words = ["--png", str(png), "--segments", str(segments), "--settings", str(settings)]
    code, output = run(
        ["usbshare-bridge", "job", "preview", square, "--width", "320", *words], home
    )
    assert code == 0, output
    assert Image.open(io.BytesIO(png.read_bytes())).width == 320
    assert len(json.loads(segments.read_text())["segments"]) == 5


@pytest.mark.parametrize(
    ("content", "words", "code", "said"),
    [
        (b"", [], 1, "bridge: it.nc: the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0", [], 1, "bridge: it.nc: the file is not G-code"),
        (b"a, b\n", [], 1, "bridge: it.nc: the file contains no G-code"),
        (b"G0 X1\n", ["--settings", "/dev/null"], 2, "no line like $110=5000.000"),
        (b"G0 X1\n", ["--settings", "/dev/null", "--target", "x:1"], 2, "not both"),
        (b"G0 X1\n", ["--passes", "0"], 2, "--passes"),
    ],
)
def test_a_file_that_cannot_be_analysed_is_reported_in_one_line(
    home: Path, tmp_path: Path, content: bytes, words: list[str], code: int, said: str
) -> None:
    path = tmp_path / "it.nc"
    path.write_bytes(content)
    found, output = run(["usbshare-bridge", "job", "analyse", str(path), *words], home)
    assert (found, "Traceback" in output) == (code, False), output
    assert said in output
