"""Which configuration file is read, and that nobody else decides it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from usbshare.base.config_search import find_config
from usbshare.base.errors import ConfigError


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("open_one", ["folder", "file", "link"])
def test_settings_that_others_may_have_put_here_are_not_obeyed_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_one: str
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o700)
    here = folder / "usbshare.toml"
    here.write_text("")
    here.chmod(0o600)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("USBSHARE_CONFIG", raising=False)
    assert find_config(None) == Path("usbshare.toml")
    if open_one == "folder":
        folder.chmod(0o777)
    else:
        here.chmod(0o666)
    if open_one == "link":
        (folder / "real.toml").write_text("")
        (folder / "real.toml").chmod(0o666)
        here.unlink()
        here.symlink_to("real.toml")
    with pytest.raises(ConfigError, match=r"other users can write to .*shared"):
        find_config(None)
    assert find_config(Path("usbshare.toml")) == Path("usbshare.toml")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_a_folder_that_the_user_may_not_enter_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("USBSHARE_HOME", "/nonexistent")
    monkeypatch.delenv("USBSHARE_CONFIG", raising=False)
    monkeypatch.chdir(home)
    home.chmod(0)  # as after `sudo -u usbshare` in a home that is private
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        assert find_config(None) is None
    finally:
        if is_root:
            os.seteuid(0)
        home.chmod(0o700)
