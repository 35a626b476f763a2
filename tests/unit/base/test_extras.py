"""What an extra lacks, and the command that brings it where a process runs."""

from __future__ import annotations

import gc
import re
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from usbshare.base import extras
from usbshare.base.extras import MODULES, command_for, importing, lacking, why_not
from usbshare.service import supervisor
from usbshare.service.supervisor import SERVICES

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
NOT_HERE = {"pyvirtualcam": "pyvirtualcam"}  # is no dependency of the tests
NEEDS_NO_CHECK = {"fast", "all"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", each)[0].lower().replace("_", "-") for each in requirements}


@pytest.fixture(scope="module")
def known() -> dict[str, list[str]]:
    """Return of which distributions a module is."""
    return {**packages_distributions(), "google.protobuf": ["protobuf"]}


@pytest.mark.parametrize("extra", MODULES)
def test_the_modules_are_those_of_the_projects_extra(
    extra: str, known: dict[str, list[str]]
) -> None:
    found = {(known.get(module) or [NOT_HERE[module]])[0] for module in MODULES[extra]}
    optional = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] if extra == "" else optional[extra]
    assert {each.lower().replace("_", "-") for each in found} == names(wanted)


def test_every_extra_is_known() -> None:
    assert {"", *PROJECT["optional-dependencies"]} - NEEDS_NO_CHECK == set(MODULES)


def test_no_module_is_missing_here() -> None:
    assert not any(
        lacking(extra) for extra in ("", "serial", "camera", "discovery", "job", "bridge")
    )
    assert why_not("serial-svc") == ""


@pytest.mark.parametrize(
    ("receipt", "has_pip", "command"),
    [
        (None, True, f"{sys.executable} -m pip install "),
        (None, False, f"uv pip install --python {sys.executable} "),
        ("uv-receipt.toml", False, "uv tool install --force "),
        ("pipx_metadata.json", False, "pipx install --force "),
    ],
)
def test_the_command_is_of_the_tool_that_made_the_environment(
    receipt: str | None, has_pip: bool, command: str, tmp_path: Path
) -> None:
    if receipt:
        (tmp_path / receipt).touch()
    found = command_for("virtual-camera", tmp_path, {}, has_pip=has_pip)
    assert found.startswith(f'{command}"usbshare[')
    assert found.endswith('virtual-camera]"')


def test_a_recreated_tool_keeps_the_installed_extras(tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").touch()
    found = command_for("virtual-camera", tmp_path, {}, has_pip=False)
    assert "[serial,discovery,camera,job,usb,bridge," in found


def test_the_wheel_that_it_came_from_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "usbshare-1.whl"
    wheel.touch()
    origin = {"url": wheel.as_uri(), "archive_info": {}}
    found = command_for("bridge", tmp_path, origin, has_pip=True)
    assert found.endswith(f'pip install "usbshare[bridge] @ {wheel.as_uri()}"')


def test_a_wheel_that_is_gone_has_to_come_back_first(tmp_path: Path) -> None:
    origin = {"url": (tmp_path / "usbshare-1.whl").as_uri(), "archive_info": {}}
    found = command_for("bridge", tmp_path, origin, has_pip=True)
    assert found.endswith(f"(once {tmp_path / 'usbshare-1.whl'} exists again)")


def test_a_clone_stays_a_clone(tmp_path: Path) -> None:
    origin = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    found = command_for("h264", tmp_path, origin, has_pip=True)
    assert found.endswith(f'pip install --editable "{tmp_path}[h264]"')


def test_a_commit_stays_that_commit(tmp_path: Path) -> None:
    origin = {"url": "https://host/usbshare", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    found = command_for("bridge", tmp_path, origin, has_pip=True)
    assert found.endswith('"usbshare[bridge] @ git+https://host/usbshare@abc"')


def test_a_library_of_the_system_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, importing("camera-svc"):
        raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")
    assert str(ended.value).startswith("camera-svc: libGL.so.1: cannot open shared object file: ")
    assert "usbshare[camera]" in str(ended.value) or "[camera]" in str(ended.value)


def test_our_own_mistake_is_no_missing_library() -> None:
    with pytest.raises(ModuleNotFoundError), importing("camera-svc"):
        raise ModuleNotFoundError("No module named 'usbshare.gone'", name="usbshare.gone")


def test_a_namespace_that_is_missing_above_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "MODULES", {"gone": ("no_such_parent.module",)})
    assert lacking("gone") == ["no_such_parent.module"]


def test_of_all_services_only_those_run_whose_extra_is_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(extras, "MODULES", {**MODULES, "camera": ("no_such_module",)})
    with caplog.at_level("INFO"):
        assert [each for each in SERVICES if supervisor._has_its_extra(each)] == [
            "serial-svc",
            "discovery-svc",
            "job-svc",
        ]
    assert "camera-svc is left out: no_such_module of usbshare[camera] is not" in caplog.text


@pytest.mark.parametrize("ends_with", [None, ValueError("why not")])
def test_garbage_is_looked_for_again_once_all_is_imported(ends_with: Exception | None) -> None:
    with suppress(ValueError), importing("camera-svc"):
        assert not gc.isenabled()
        if ends_with is not None:
            raise ends_with
    assert gc.isenabled()
