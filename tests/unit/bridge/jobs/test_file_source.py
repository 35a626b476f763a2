"""What is sent to a host: a file as it was when it was looked at, or what a pipe brings."""

from __future__ import annotations

import io
import os
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.jobs import file_source
from usbshare.bridge.jobs.file_source import open_source

CONTENT = b"G21\nG1 X1\n" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "box.gcode"
    made.write_bytes(CONTENT)
    return made


def test_a_file_has_its_size_its_hash_and_its_parts(path: Path) -> None:
    source = open_source(str(path), io.BytesIO())
    assert (source.name, source.size_bytes) == ("box.gcode", len(CONTENT))
    assert source.sha256 == sha256(CONTENT).hexdigest()
    assert source.read(10, 20) == CONTENT[10:30]
    assert source.read(len(CONTENT) - 5, 20) == CONTENT[-5:]
    source.close()


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewritten(path: Path) -> None:
    path.write_bytes(bytes(reversed(CONTENT)))
    os.utime(path, ns=(0, 0))


def cut(path: Path) -> None:
    path.write_bytes(b"G1")


@pytest.mark.parametrize("change", [grown, rewritten, cut])
def test_a_file_that_changes_is_refused_in_one_line(path: Path, change: object) -> None:
    source = open_source(str(path), io.BytesIO())
    change(path)  # type: ignore[operator]
    with pytest.raises(InvalidArgumentError, match=r"^box.gcode changed during the upload: submit"):
        source.read(0, 100)
    source.close()


def test_a_file_that_is_replaced_is_sent_as_it_was(path: Path) -> None:
    source = open_source(str(path), io.BytesIO())
    other = path.with_name("other")
    other.write_bytes(b"new")
    other.replace(path)
    assert source.read(0, 10) == CONTENT[:10]
    source.close()


def test_standard_input_is_taken_to_its_end() -> None:
    source = open_source("-", io.BytesIO(CONTENT))
    assert (source.name, source.size_bytes) == ("standard input", len(CONTENT))
    assert source.sha256 == sha256(CONTENT).hexdigest()
    source.close()


def test_a_named_pipe_is_taken_like_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(CONTENT,))
    writer.start()
    source = open_source(str(pipe), io.BytesIO())
    writer.join()
    assert source.read(0, len(CONTENT)) == CONTENT
    source.close()


def test_a_pipe_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "MOST_PIPED_BYTES", 3_000_000)
    with pytest.raises(InvalidArgumentError, match="more than 3 MB came through zero"):
        open_source("/dev/zero", io.BytesIO())


def test_an_empty_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="standard input is empty"):
        open_source("-", io.BytesIO())
    with pytest.raises(IsADirectoryError):
        open_source(str(tmp_path), io.BytesIO())


def test_a_long_name_is_cut_to_what_a_host_takes(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 120)
    path.write_bytes(b"G1\n")
    source = open_source(str(path), io.BytesIO())
    assert len(source.name.encode()) == 200
    source.close()
