"""Notes are written by a thread: the newest of each key, and nobody waits for a disk that hangs."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from usbshare.base.background_writer import Background

PATIENCE_S = 20.0


class Disk:
    """Takes notes while it is not frozen; fails as often as it is told to."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.failures = 0
        self.begun = threading.Semaphore(0)
        self._goes_on = threading.Event()
        self._goes_on.set()

    def freeze(self) -> None:
        self._goes_on.clear()

    def thaw(self) -> None:
        self._goes_on.set()

    def write(self, text: str) -> None:
        self.begun.release()
        assert self._goes_on.wait(PATIENCE_S)
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device", "the note")
        self.written.append(text)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.thaw()


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background("notes", retry_s=0.01)
    yield background
    background.close(PATIENCE_S)


async def test_a_note_that_is_put_is_written(background: Background, disk: Disk) -> None:
    background.put("a", lambda: disk.write("1"))
    assert await background.kept("a", PATIENCE_S)
    assert disk.written == ["1"]


async def test_of_each_key_only_the_newest_waits(background: Background, disk: Disk) -> None:
    disk.freeze()
    background.put("a", lambda: disk.write("a1"))
    assert disk.begun.acquire(timeout=PATIENCE_S)
    for number in range(2, 1000):
        background.put("a", partial(disk.write, f"a{number}"))
    background.put("b", lambda: disk.write("b1"))
    disk.thaw()
    assert await background.kept("b", PATIENCE_S)
    assert disk.written == ["a1", "a999", "b1"]


async def test_nothing_waits_for_a_disk_that_hangs(background: Background, disk: Disk) -> None:
    disk.freeze()
    background.put("a", lambda: disk.write("1"))
    assert disk.begun.acquire(timeout=PATIENCE_S)
    assert not await background.kept("a", 0.01)
    assert not background.put_first("b", lambda: disk.write("2"), 0.01)
    # It is known to hang from now on: not even the longest wait is begun.
    assert not background.put_first("c", lambda: disk.write("3"), 10 * PATIENCE_S)
    disk.thaw()
    assert await background.kept("c", PATIENCE_S)
    assert background.put_first("d", lambda: disk.write("4"), PATIENCE_S)
    assert disk.written == ["1", "2", "3", "4"]


async def test_a_note_that_fails_is_written_later(
    background: Background, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.failures = 3
    with caplog.at_level(logging.WARNING):
        background.put("a", lambda: disk.write("1"))
        assert await background.kept("a", PATIENCE_S)
    assert disk.written == ["1"]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "notes: cannot write the note: No space left on device; trying again",
        "notes: can be written again",
    ]


async def test_trouble_says_what_is_wrong(background: Background, disk: Disk) -> None:
    clock = [0.0]
    watched = Background("notes", lambda: clock[0])
    assert watched.trouble == ""
    disk.freeze()
    watched.put("a", lambda: disk.write("1"))
    assert disk.begun.acquire(timeout=PATIENCE_S)
    clock[0] = 7.0
    assert watched.trouble == "the disk has been hanging for 7 s"
    disk.thaw()
    assert await watched.kept("a", PATIENCE_S)
    assert watched.trouble == ""
    watched.close(PATIENCE_S)


def test_the_end_waits_for_the_last_note_but_not_for_ever(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    background = Background("notes")
    background.put("a", lambda: disk.write("1"))
    background.close(PATIENCE_S)
    assert disk.written == ["1"]
    disk.freeze()
    hanging = Background("notes")
    hanging.put("a", lambda: disk.write("2"))
    before = time.monotonic()
    hanging.close(0.05)
    assert time.monotonic() - before < PATIENCE_S
    assert "notes: could not write 1 notes before the end" in caplog.text


async def test_a_note_with_a_bug_does_not_end_the_others(
    background: Background, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> None:
        raise ValueError("a bug")

    background.put("a", bug)
    background.put("b", lambda: disk.write("2"))
    assert await background.kept("b", PATIENCE_S)
    assert disk.written == ["2"]
    assert "a note failed" in caplog.text
