"""A change of a file wakes a loop; without one it sleeps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from usbshare.base.file_watch import FileWatch

SOON_S = 30.0


@pytest.fixture
def watch() -> Iterator[FileWatch]:
    made = FileWatch("files", look_s=0.005)
    yield made
    made.close()


async def test_each_change_wakes_once(watch: FileWatch, tmp_path: Path) -> None:
    path = tmp_path / "rules"
    file = watch.follow((path, tmp_path / "other"))
    assert await file.changed(SOON_S)  # the first look
    for change in (
        lambda: path.write_text("1"),
        lambda: path.write_text("22"),
        lambda: path.chmod(0o600),
        lambda: os.replace(path, tmp_path / "other"),
        (tmp_path / "other").unlink,
    ):
        change()
        assert await file.changed(SOON_S)
    assert not await file.changed(0.05)


async def test_a_change_between_two_waits_is_not_missed(watch: FileWatch, tmp_path: Path) -> None:
    file = watch.follow((tmp_path / "rules",))
    other = watch.follow((tmp_path / "rules",))
    assert await file.changed(SOON_S)
    assert await other.changed(SOON_S)
    (tmp_path / "rules").write_text("1")
    assert await other.changed(SOON_S)  # by now both have been told
    await asyncio.sleep(0)
    assert await file.changed(SOON_S)


async def test_a_closed_follower_is_not_notified(watch: FileWatch, tmp_path: Path) -> None:
    file = watch.follow((tmp_path / "rules",))
    assert await file.changed(SOON_S)
    watch.unfollow(file)
    watch.unfollow(file)
    (tmp_path / "rules").write_text("1")
    assert not await file.changed(0.05)


async def test_a_file_that_cannot_be_seen_is_as_one_that_is_not_there(watch: FileWatch) -> None:
    file = watch.follow((Path("/proc/self/nonexistent\0"), Path("/proc/1/cwd/x/y")))
    assert await file.changed(SOON_S)
    assert not await file.changed(0.05)
