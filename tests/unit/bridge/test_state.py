"""What a bridge remembers: written whole or not at all, and never in its way."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.bridge.state import LastUsed, StateFile, bridge_state

USED = LastUsed("192.0.2.1:50051", "Laser", "laser.local", "grbl", vcom="COM10")


class Kept:
    """A state file and what it warned of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self.file = StateFile(path, self.warnings.append)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "state" / "bridge.json")


def written(kept: Kept, content: bytes) -> Kept:
    kept.path.parent.mkdir(exist_ok=True)
    kept.path.write_bytes(content)
    return kept


def names(kept: Kept) -> list[str]:
    return sorted(path.name for path in kept.path.parent.iterdir())


def test_saved_values_are_loaded(kept: Kept) -> None:
    kept.file.save(USED)
    assert kept.file.load() == USED
    assert kept.warnings == []
    assert names(kept) == ["bridge.json"]


def test_at_first_nothing_is_known_and_nothing_is_said(kept: Kept) -> None:
    assert kept.file.load() == LastUsed()
    assert kept.warnings == []
    assert not kept.path.parent.exists()


def test_only_its_owner_may_read_it(kept: Kept) -> None:
    kept.file.save(USED)
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700


def test_the_last_writer_wins(kept: Kept) -> None:
    kept.file.save(USED)
    other = LastUsed("192.0.2.2:50051", tcp="127.0.0.1:23")
    kept.file.save(other)
    assert kept.file.load() == other


def test_unknown_keys_are_kept(kept: Kept) -> None:
    written(kept, b'{"zoom": 2, "target": "a"}')
    kept.file.save(USED)
    assert json.loads(kept.path.read_text())["zoom"] == 2


@pytest.mark.parametrize("value", ["5", "null", '["a"]', '"\\u001b[31m"', '"\\ud800"'])
def test_a_value_that_cannot_be_is_unknown(kept: Kept, value: str) -> None:
    written(kept, b'{"port": "laser", "target": %s}' % value.encode())
    assert kept.file.load() == LastUsed(port="laser")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"target": "a', b"[]", b"\xff", b"[" * 30_000, b" " * 70_000]
)
def test_a_damaged_file_is_kept_aside_with_a_warning(kept: Kept, content: bytes) -> None:
    written(kept, content)
    assert kept.file.load() == LastUsed()
    (warning,) = kept.warnings
    assert f"{kept.path} is damaged" in warning
    assert f"kept as {kept.path}.damaged-1" in warning
    assert Path(f"{kept.path}.damaged-1").read_bytes() == content
    kept.file.save(USED)
    assert kept.file.load() == USED
    assert len(kept.warnings) == 1


def test_each_damaged_file_is_kept(kept: Kept) -> None:
    for _ in range(3):
        written(kept, b"{").file.load()
    assert names(kept) == [f"bridge.json.damaged-{number}" for number in (1, 2, 3)]


def test_damaged_files_do_not_fill_the_disk(kept: Kept) -> None:
    for _ in range(120):
        written(kept, b"{").file.load()
    assert len(names(kept)) == 100
    kept.file.save(USED)
    assert kept.file.load() == USED


def test_a_full_disk_is_a_warning_and_leaves_what_was_there(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.file.save(USED)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        kept.file.save(LastUsed("other"))
    (warning,) = kept.warnings
    assert "cannot remember" in warning
    assert "No space left on device" in warning
    assert kept.file.load() == USED
    assert names(kept) == ["bridge.json"]


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    kept = Kept(tmp_path / "state" / "bridge.json")
    kept.file.save(USED)
    assert kept.file.load() == LastUsed()
    assert kept.warnings


def test_the_file_is_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path))
    bridge_state(print).save(USED)
    assert (tmp_path / "state" / "bridge.json").is_file()


@given(content=st.binary(max_size=200))
def test_no_content_is_ever_in_the_way(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    kept = written(Kept(tmp_path_factory.mktemp("s") / "bridge.json"), content)
    kept.file.load()
    kept.file.save(USED)
    assert kept.file.load() == USED
