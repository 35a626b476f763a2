"""What the command writes for root, below another folder."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from usbshare.base.errors import ConfigError
from usbshare.bridge.commands.install_usb_helper import NAME, install_usb_helper
from usbshare.usbip.vhci import helper

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")


def install(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(install_usb_helper, [*arguments, "--root", str(root)], env={})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_only_the_named_user_may_use_the_helper(tmp_path: Path) -> None:
    install(tmp_path, "--for-user", "nobody")
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of units have capitals
    unit.read(tmp_path / f"etc/systemd/system/{NAME}.socket")
    assert (unit["Socket"]["SocketUser"], unit["Socket"]["SocketMode"]) == ("nobody", "0600")
    assert unit["Socket"]["ListenStream"] == str(helper.SOCKET_PATH)


def test_root_runs_a_copy_that_no_user_can_change(tmp_path: Path) -> None:
    install(tmp_path, "--for-user", "nobody")
    program = tmp_path / f"usr/local/libexec/{NAME}"
    assert program.read_bytes() == Path(helper.__file__).read_bytes()
    assert program.stat().st_mode & 0o777 == 0o755
    service = (tmp_path / f"etc/systemd/system/{NAME}@.service").read_text()
    assert f"/usr/local/libexec/{NAME}" in service


def test_the_helper_is_removed_without_a_trace(tmp_path: Path) -> None:
    install(tmp_path, "--for-user", "nobody")
    install(tmp_path, "--remove")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["", "no such user", "x\nSocketMode=0666", "nobody-at-all"])
def test_an_unknown_user_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"who may plug in devices|has no user"):
        install(tmp_path, "--for-user", name)
    assert list(tmp_path.iterdir()) == []
