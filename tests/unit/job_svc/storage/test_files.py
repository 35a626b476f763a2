"""Files: by their hash, in pieces, within their bounds, and whole whatever happens."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.analysis.program_check import ProgramCheck
from usbshare.analysis.program_lines import program_lines
from usbshare.base.errors import InvalidArgumentError, LimitError, NotFoundError, SessionLostError
from usbshare.job_svc.storage.files import KEPT_FREE_BYTES, FileStore, PartialFile

PROGRAM = b"".join(b"G1 X%d Y%d S500 F3000\n" % (each % 90, each % 70) for each in range(3000))
HASH = sha256(PROGRAM).hexdigest()


def store(folder: Path, **values: int) -> FileStore:
    limits = {"max_bytes": 10_000_000, "max_file_bytes": 1_000_000, **values}
    made = FileStore(folder, limits["max_bytes"], limits["max_file_bytes"], lambda _: 10**12)
    made.load()
    return made


def keep(files: FileStore, content: bytes, needed: frozenset[str] = frozenset()) -> str:
    digest = sha256(content).hexdigest()
    upload = files.begin(digest, len(content), needed)
    files.write(upload, [content[upload.size :]])
    files.finish(upload)
    return digest


def arrive(files: FileStore, upload: PartialFile, pieces: list[bytes]) -> None:
    for piece in pieces:
        files.write(upload, [piece])
    files.finish(upload)


def test_an_upload_cut_anywhere_ends_with_the_same_file(tmp_path: Path) -> None:
    for cut in range(0, len(PROGRAM), len(PROGRAM) // 20):
        folder = tmp_path / str(cut)
        files = store(folder)
        upload = files.begin(HASH, len(PROGRAM), set())
        assert files.write(upload, [PROGRAM[:cut]]) == cut
        again = store(folder)  # as after kill -9: nothing was closed
        upload = again.begin(HASH, len(PROGRAM), set())
        assert upload.size == cut
        again.write(upload, [PROGRAM[cut:]])
        stored = again.finish(upload)
        assert (stored.size_bytes, stored.lines) == (len(PROGRAM), 3000)
        assert store(folder).path(HASH).read_bytes() == PROGRAM


def test_a_newer_upload_of_the_same_file_takes_over_a_half_dead_one(tmp_path: Path) -> None:
    files = store(tmp_path)
    old = files.begin(HASH, len(PROGRAM), set())
    files.write(old, [PROGRAM[:100]])
    new = files.begin(HASH, len(PROGRAM), set())
    with pytest.raises(SessionLostError, match="another upload of the same file"):
        files.write(old, [PROGRAM[100:]])
    files.leave(old)
    files.write(new, [PROGRAM[100:]])
    assert files.finish(new).sha256 == HASH


def test_a_file_that_changed_on_the_way_is_refused_and_begun_again(tmp_path: Path) -> None:
    files = store(tmp_path)
    upload = files.begin(HASH, len(PROGRAM), set())
    files.write(upload, [PROGRAM[:-3] + b"99\n"])
    with pytest.raises(InvalidArgumentError, match="another SHA-256"):
        files.finish(upload)
    assert files.begin(HASH, len(PROGRAM), set()).size == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"byte 6 is 0x1a|line 1: byte 0x89"),
        ("G1 X1\n".encode("utf-16"), "NUL, as binary files and UTF-16 have"),
        (b"Dear Sir,\nhow do you do.\n", "contains no G-code; it begins with 'Dear Sir,'"),
        (b"\n\n  \n; only a comment\n", "contains no G-code: save"),
        (b"G1 X1\nG1 X2\x18\n", "byte 11 is 0x18"),
        (b"G1 X1\nG1 ! X2\n", "line 2: '!' outside a comment"),
        (b"G1 X1\nG1 X\xb0\n", "line 2: byte 0xb0 outside a comment"),
        (b"G1 X1\n" + b"G1 X1" * 300 + b"\n", "line 2 has more than 1024 bytes"),
        (b"G1 X1\n" + b"G1 X1" * 300, "line 2 has more than 1024 bytes"),
    ],
)
def test_a_file_that_is_not_gcode_is_refused_with_the_place(
    tmp_path: Path, content: bytes, why: str
) -> None:
    for size in (1, 7, len(content)):
        files = store(tmp_path / str(size))
        upload = files.begin(sha256(content).hexdigest(), len(content), set())
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        with pytest.raises(InvalidArgumentError, match=why):
            arrive(files, upload, pieces)
        assert files.used_bytes == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_are_lines_whatever_ends_them(
    tmp_path: Path, end: bytes, mark: bytes, last: bool
) -> None:
    content = mark + end.join([b"%", b"G1 X1 (Sch\xc3\xb6n!)", b"", b"M5 ; wow!"])
    content += end if last else b""
    files = store(tmp_path)
    digest = keep(files, content)
    stored = files.find(digest)
    assert stored is not None
    assert stored.lines == 4
    lines = list(program_lines(files.path(digest)))
    assert [each.code for each in lines] == [b"", b"G1 X1", b"", b"M5"]
    assert [each.number for each in lines] == [1, 2, 3, 4]
    assert sum(each.size_bytes for each in lines) == len(content)


@given(st.lists(st.sampled_from([b"G1 X1", b"\r", b"\n", b"\r\n", b"(a;b)", b";x"]), min_size=1))
def test_lines_do_not_depend_on_the_pieces(parts: list[bytes]) -> None:
    content = b"G0\n" + b"".join(parts)
    counts = set()
    for size in (1, 2, 3, len(content)):
        check = ProgramCheck()
        for at in range(0, len(content), size):
            check.feed(content[at : at + size])
        counts.add(check.finish())
    assert len(counts) == 1


def test_too_large_and_empty_files_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    files = store(tmp_path)
    with pytest.raises(LimitError, match=r"has 2\.0 GB; this host accepts at most 1\.0 MB"):
        files.begin(HASH, 2_000_000_000, set())
    with pytest.raises(InvalidArgumentError, match="the file is empty"):
        files.begin(HASH, 0, set())


def test_more_bytes_than_said_are_refused(tmp_path: Path) -> None:
    files = store(tmp_path)
    upload = files.begin(HASH, 10, set())
    with pytest.raises(InvalidArgumentError, match="more bytes than size_bytes"):
        files.write(upload, [PROGRAM])


def test_files_that_no_job_needs_make_room_and_the_others_stay(tmp_path: Path) -> None:
    files = store(tmp_path, max_bytes=150_000)
    needed = keep(files, PROGRAM)
    unused = keep(files, PROGRAM + b"M5\n", frozenset({needed}))
    third = keep(files, PROGRAM + b"M30\n", frozenset({needed}))
    assert files.find(unused) is None
    assert files.find(needed) is not None
    with pytest.raises(LimitError, match=r"files take .* \(\[files\] max_bytes\)"):
        files.begin("0" * 64, 90_000, {needed, third})


def test_a_full_disk_refuses_an_upload_and_takes_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = store(tmp_path)
    upload = files.begin(HASH, len(PROGRAM), set())
    files.write(upload, [PROGRAM[:1000]])
    write, has_room = os.write, False

    def no_room(descriptor: int, data: bytes) -> int:
        if not has_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", no_room)
    with pytest.raises(
        LimitError,
        match=rf"no room for this upload in {tmp_path}: No space left on device \(.* free\)",
    ):
        files.write(upload, [PROGRAM[1000:]])
    files.leave(upload)
    has_room = True
    upload = files.begin(HASH, len(PROGRAM), set())
    assert upload.size == 1000
    files.write(upload, [PROGRAM[1000:]])
    assert files.finish(upload).sha256 == HASH


def test_a_disk_that_is_nearly_full_is_left_to_the_others(tmp_path: Path) -> None:
    files = FileStore(tmp_path, 10**9, 10**9, lambda _: KEPT_FREE_BYTES + 100)
    files.load()
    with pytest.raises(LimitError, match=rf"the disk of {tmp_path} has 64\.0 MB free"):
        files.begin(HASH, 101, set())
    files.begin(HASH, 100, set())


def test_a_full_spool_refuses_no_file_that_it_may_have_already(tmp_path: Path) -> None:
    files = store(tmp_path, max_bytes=len(PROGRAM))
    upload = files.begin(HASH, len(PROGRAM), set())
    files.require_room(len(PROGRAM), set())  # it may be the one that is coming
    arrive(files, upload, [PROGRAM])
    files.require_room(len(PROGRAM), {HASH})
    with pytest.raises(LimitError, match="no room"):
        files.require_room(len(PROGRAM) - 1, {HASH})


def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    files = store(tmp_path)
    keep(files, PROGRAM)
    files.path(HASH).unlink()
    assert files.find(HASH) is None  # so that it is taken once more
    keep(files, PROGRAM)
    files.path(HASH).unlink()
    with pytest.raises(NotFoundError, match="is not on this host: upload it again"):
        files.path(HASH)


def test_unused_files_are_removed_after_a_day(tmp_path: Path) -> None:
    day = 24 * 3600.0
    files = store(tmp_path)
    kept = keep(files, PROGRAM)
    unused = keep(files, PROGRAM + b"M5\n")
    files.leave(files.begin("0" * 64, 10, set()))
    files.remove_unused({kept})
    assert files.find(unused) is not None
    later = FileStore(tmp_path, 10**7, 10**6, now=lambda: 10**11 + day)
    later.load()
    later.remove_unused({kept})
    assert later.find(kept) is not None
    assert later.find(unused) is None
    assert later.used_bytes == len(PROGRAM)


def test_a_clock_that_is_set_ages_nothing_that_came_since_the_start(tmp_path: Path) -> None:
    passed_s = 0.0
    files = FileStore(tmp_path, 10**7, 10**6, now=lambda: 10**11, clock=lambda: passed_s)
    files.load()
    keep(files, PROGRAM)
    begun = files.begin("0" * 64, 10, set())
    files.write(begun, [b"G1 X1\n"])
    files.leave(begun)
    files.remove_unused(set())
    assert files.find(HASH) is not None
    assert files.used_bytes == len(PROGRAM) + 6
    passed_s = 24 * 3600.0
    files.remove_unused(set())
    assert files.used_bytes == 0


def test_a_file_that_would_be_refused_is_known_before_it_comes(tmp_path: Path) -> None:
    files = store(tmp_path, max_bytes=1000)
    kept = keep(files, PROGRAM[:600])
    files.require_room(900, set())  # what no job needs makes room
    assert files.find(kept) is not None
    with pytest.raises(LimitError, match=r"files take 600 bytes of 1\.0 kB"):
        files.require_room(500, {kept})
    with pytest.raises(LimitError, match="per file"):
        files.require_room(1_000_001, set())
    scarce = FileStore(tmp_path / "other", 10**9, 10**9, lambda _: KEPT_FREE_BYTES + 100)
    scarce.load()
    with pytest.raises(LimitError, match="stay free"):
        scarce.require_room(101, set())
