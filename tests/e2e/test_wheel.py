"""A wheel is all that a computer without a clone needs; what an extra lacks is said in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from fakes.processes import Process, environment
from fakes.wheels import Installation, build_wheel
from usbshare.base.extras import PROGRAMS

Install = Callable[[str], Path]
ASSETS = "usbshare/panel/assets"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Return what lets the installed wheel have an extra, and gives the folder of its commands."""
    return Installation(wheel, tmp_path_factory.mktemp("environment") / "environment").have


def said(command: Sequence[str | Path], home: Path) -> tuple[int, str]:
    """Run a command to its end; returns exit code and output."""
    process = Process([str(each) for each in command], environment(home))
    try:
        return process.wait(), process.output
    finally:
        process.stop()


def test_the_panels_page_is_in_the_wheel(wheel: Path) -> None:
    packaged = {name for name in ZipFile(wheel).namelist() if name.startswith(ASSETS)}
    folder = Path(__file__).parents[2] / "services" / "panel"
    files = (each for each in (folder / ASSETS).rglob("*") if each.is_file())
    assert packaged == {each.relative_to(folder).as_posix() for each in files}
    assert f"{ASSETS}/index.html" in packaged


@pytest.mark.parametrize("extra", ["", *PROGRAMS.values()])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_extra_is_one_line_with_the_command_that_brings_it(
    program: str, extra: str, installed: Install, wheel: Path, tmp_path: Path
) -> None:
    commands, needed = installed(extra), PROGRAMS[program]
    code, output = said([commands / program, "--help"], tmp_path)
    same = {"serial", "usb"}
    if needed == extra or (needed in same and extra in {*same, "camera", "discovery", "job"}):
        assert code == 0, output  # which bring all that serial-svc and usb-svc need
        return
    assert code == 1
    assert len(output.splitlines()) == 1
    assert output.startswith(f"{program}: ")
    install_it = (
        f'uv pip install --python {commands}/python "usbshare[{needed}] @ {wheel.as_uri()}"'
    )
    assert output.endswith(
        f"of usbshare[{needed}] {'is' if ', ' not in output else 'are'} not installed: {install_it}"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_says_its_version_without_and_with_its_extra(
    program: str, installed: Install, tmp_path: Path
) -> None:
    for extra in ("", PROGRAMS[program]):
        code, version = said([installed(extra) / program, "--version"], tmp_path)
        assert (code, bool(re.fullmatch(rf"{program} \d\S+", version))) == (0, True)


def test_a_stop_tries_all_the_same_where_an_extra_is_missing(
    installed: Install, tmp_path: Path
) -> None:
    stop = [str(installed("") / "usbshare-bridge"), "stop", "--target", "127.0.0.1:1", "--insecure"]
    code, output = said(stop, tmp_path)
    assert code == 1
    assert "not confirmed" in output
    assert "Traceback" not in output


def test_a_host_and_a_pc_work_from_the_wheel(installed: Install, tmp_path: Path) -> None:
    host, pc = tmp_path / "host", tmp_path / "pc"
    (host / "config" / "usbshare").mkdir(parents=True)
    (host / "config" / "usbshare" / "usbshare.toml").write_text(
        '[tls]\nenrolment = "127.0.0.1:0"\n[ports.demo]\nsource = "sim://grbl"\n'
    )
    service = Process(
        [str(installed("serial") / "serial-svc"), "--listen", "127.0.0.1:0"], environment(host)
    )
    try:
        port = service.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1]
        listing = [str(installed("bridge") / "usbshare-bridge"), "list"]
        bundle = host / "config" / "usbshare" / "client.pem"
        target = ["--target", f"127.0.0.1:{port}", "--bundle", str(bundle)]
        code, output = said([*listing, *target], pc)
        assert code == 0, output
        assert re.search(r"\bdemo\b", output)
    finally:
        service.stop()


@pytest.mark.parametrize("extra", ["camera", "discovery", "job", "usb"])
def test_a_service_serves_from_the_wheel(extra: str, installed: Install, tmp_path: Path) -> None:
    command = [str(installed(extra) / f"{extra}-svc"), "--listen", "127.0.0.1:0"]
    service = Process(command, environment(tmp_path))
    try:
        service.wait_for(rf"{extra}-svc ready at")
    finally:
        assert service.stop() == 0


def test_the_panel_shows_its_page_from_the_wheel(installed: Install, tmp_path: Path) -> None:
    config = tmp_path / "pc.toml"
    config.write_text("[discovery]\nmdns = false\nbeacon = false\n")
    command = [str(installed("bridge") / "usbshare-bridge"), "--config", str(config), "panel"]
    panel = Process([*command, "--listen", "127.0.0.1:0", "--json"], environment(tmp_path))
    try:
        url = json.loads(panel.wait_for('"ready"').string)["url"]
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"<html" in page.read()
    finally:
        assert panel.stop() == 0


def test_the_doctor_of_the_job_service_needs_no_more_than_its_extra(
    installed: Install, tmp_path: Path
) -> None:
    code, output = said([installed("job") / "job-svc", "doctor"], tmp_path)
    assert code == 0, output
    assert re.search(r"^ok +record of jobs +none yet", output, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pipx"])
def test_the_documented_installation_on_a_pc(tool: str, wheel: Path, tmp_path: Path) -> None:
    # Asks a package index for what the wheel needs.
    if (command := shutil.which(tool)) is None:
        pytest.skip(f"{tool} is not installed")
    prepared = {
        "UV_TOOL_DIR": tmp_path / "tools",
        "UV_TOOL_BIN_DIR": tmp_path / "bin",
        "PIPX_HOME": tmp_path / "tools",
        "PIPX_BIN_DIR": tmp_path / "bin",
    }
    places = {name: str(path) for name, path in prepared.items()}
    commands = {
        "uv": ["uv", "tool", "install", "--python", sys.executable],
        "pipx": ["pipx", "install", "--python", sys.executable],
    }
    surroundings = {**os.environ, **environment(tmp_path), **places}  # what names an index counts
    spec = f"usbshare[bridge] @ {wheel.as_uri()}"
    subprocess.run([command, *commands[tool][1:], spec], check=True, env=surroundings)
    code, output = said([tmp_path / "bin" / "usbshare-bridge", "--version"], tmp_path)
    assert (code, output.split()[0]) == (0, "usbshare-bridge")
    code, output = said([tmp_path / "bin" / "serial-svc"], tmp_path)
    assert code == 1
    assert f"{' '.join(commands[tool][:-2])} --force" in output
