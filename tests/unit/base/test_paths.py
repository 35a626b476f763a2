"""Folders of usbshare: whose they are, and that nobody else gets in."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from usbshare.base import paths
from usbshare.base.errors import ConfigError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the user's runtime folder impossible and tmp_path the temporary folder."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setattr(platformdirs, "user_runtime_path", lambda _name: blocked / "usbshare")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_usbshare_home_decides_the_configuration_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path))
    assert paths.config_folder() == tmp_path
    assert paths.client_bundle_path() == tmp_path / "client.pem"
    assert paths.settings_path() == tmp_path / "usbshare.toml"


def test_the_users_configuration_folder_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USBSHARE_HOME", raising=False)
    assert paths.config_folder() == platformdirs.user_config_path("usbshare")


def test_runtime_folder_is_the_users_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = paths.runtime_folder()
    assert folder == tmp_path / "usbshare"
    assert mode_of(folder) == 0o700


def test_runtime_folder_works_if_no_user_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert mode_of(paths.runtime_folder()) == 0o700


def test_runtime_folder_falls_back_to_a_private_temporary_one(temporary: Path) -> None:
    folder = paths.runtime_folder()
    assert folder == temporary / f"usbshare-{os.geteuid()}"
    assert mode_of(folder) == 0o700


def test_a_runtime_folder_that_is_made_is_private_above_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run"
    monkeypatch.setattr(platformdirs, "user_runtime_path", lambda _name: runtime / "usbshare")
    assert paths.runtime_folder() == runtime / "usbshare"
    assert mode_of(runtime) == 0o700


def test_runtime_folder_narrows_an_own_open_one(temporary: Path) -> None:
    folder = temporary / f"usbshare-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert mode_of(paths.runtime_folder()) == 0o700


def test_runtime_folder_refuses_a_strangers_folder(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = os.geteuid() + 1
    (temporary / f"usbshare-{stranger}").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(ConfigError, match="belongs to another user"):
        paths.runtime_folder()


def test_runtime_folder_refuses_a_link(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"usbshare-{os.geteuid()}").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="belongs to another user"):
        paths.runtime_folder()


def test_private_files_are_replaced_whole_and_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    paths.write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses every chmod, as vfat and SMB do."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)


@pytest.mark.usefixtures("stubborn")
def test_a_private_folder_needs_no_chmod(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    paths.make_private(folder)
    paths.make_private(folder)
    for content in (b"first", b"second"):
        paths.write_private(folder / "key", content)
        paths.rewrite(folder / "settings", content)
    assert mode_of(folder / "key") == mode_of(folder / "settings") == 0o600


@pytest.mark.usefixtures("stubborn")
def test_a_file_that_others_may_read_stays_so_only_if_it_was(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.touch()
    os.chmod(shared, 0o644)
    paths.rewrite(shared, b"less open is as good")
    assert mode_of(shared) == 0o600


def test_a_chmod_that_matters_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: None
) -> None:
    made = tempfile.mkstemp

    def open_to_all(**arguments: object) -> tuple[int, str]:
        descriptor, path = made(**arguments)  # type: ignore[call-overload]
        os.fchmod(descriptor, 0o666)
        return descriptor, path

    monkeypatch.setattr(tempfile, "mkstemp", open_to_all)
    with pytest.raises(PermissionError):
        paths.write_private(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_parents_of_a_private_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths.make_private(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700] * 3


def test_a_file_that_a_full_disk_refuses_is_named_with_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"\(.* free\)") as raised:
        paths.write_private(tmp_path / "note", b"content")
    assert raised.value.filename == str(tmp_path / "note")
    assert not list(tmp_path.iterdir())
