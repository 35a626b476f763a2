"""Only plain files are read, and nothing makes the reader wait."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from usbshare.base.plain_file import open_plain, read_plain


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\r\nb" * 1000)
    assert read_plain(path) == b"a\r\nb" * 1000
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_plain(link) == read_plain(path)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    assert len(read_plain(path, 11)) == 11
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_plain(path, 10)


def test_a_missing_path_is_distinguished_from_one_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "none")
    with pytest.raises(OSError, match="not a regular file"):
        read_plain(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no FIFOs")
def test_nothing_waits_for_a_fifo_or_opens_a_device(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    outcomes: list[str] = []

    def read(what: Path) -> None:
        try:
            open_plain(what)
        except OSError as error:
            outcomes.append(str(error.strerror))

    for what in (path, Path("/dev/zero")):
        thread = threading.Thread(target=read, args=(what,), daemon=True)
        thread.start()
        thread.join(20)
    assert outcomes == ["it is not a regular file"] * 2
