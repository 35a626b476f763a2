"""Files of G-code by their SHA-256: whole ones, and those of uploads that were cut.

A folder holds `<sha256>-<lines>.gcode` for a whole file and `<sha256>.part` for one that is still
to come; the names say all that is to be known, so that nothing else need be whole. Everything
blocks, and is called in one thread (`usbshare.base.threads.OwnThread`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from usbshare.analysis.program_check import ProgramCheck
from usbshare.base.errors import InvalidArgumentError, LimitError, NotFoundError, SessionLostError
from usbshare.base.os_errors import FULL, of_file
from usbshare.base.paths import make_private
from usbshare.base.sizes import size_text
from usbshare.job_svc.storage.job import StoredFile

MEGABYTE = 1_000_000
# Left free for the record of the jobs, the audit logs and other programs.
KEPT_FREE_BYTES = 64 * MEGABYTE
# Files without a job, and uploads that were not continued, are deleted after this time.
UNUSED_S = 24 * 3600.0
_READ_BYTES = 1024 * 1024
_WHOLE = re.compile(r"([0-9a-f]{64})-(\d{1,12})\.gcode")
_PART = re.compile(r"([0-9a-f]{64})\.part")


class FileStore:
    """The files, within a bound on what they take of the disk."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        max_file_bytes: int,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._free_bytes = free_bytes
        self._now = now
        self._clock = clock
        self._touched: dict[str, float] = {}  # in this run: a clock that is set ages none of them
        self._whole: dict[str, StoredFile] = {}
        self._parts: dict[str, int] = {}
        self._uploads: dict[str, PartialFile] = {}

    def load(self) -> None:
        """Find out which files there are; raises OSError."""
        make_private(self._folder)
        for path in self._folder.iterdir():
            if found := _WHOLE.fullmatch(path.name):
                size = path.stat().st_size
                self._whole[found[1]] = StoredFile(found[1], size, int(found[2]))
            elif found := _PART.fullmatch(path.name):
                self._parts[found[1]] = path.stat().st_size

    @property
    def used_bytes(self) -> int:
        """What the files take, and what open uploads will."""
        expected = sum(each.size_bytes for each in self._uploads.values())
        parts = sum(size for sha256, size in self._parts.items() if sha256 not in self._uploads)
        return sum(each.size_bytes for each in self._whole.values()) + parts + expected

    def find(self, sha256: str) -> StoredFile | None:
        """Return a whole file, None if it is not here."""
        found = self._whole.get(sha256)
        if found is not None and not self._whole_path(found).is_file():
            del self._whole[sha256]
            return None
        return found

    def path(self, sha256: str) -> Path:
        """Return where a whole file is; NotFoundError where it is gone."""
        if (found := self.find(sha256)) is None:
            raise NotFoundError(f"the file {sha256[:12]}… is not on this host: upload it again")
        return self._whole_path(found)

    def begin(self, sha256: str, size_bytes: int, needed: Collection[str]) -> PartialFile:
        """Begin or take up an upload; one of the same file that is open ends.

        Files that no job needs (`needed` lists the others) make room. Raises LimitError where there
        is none.
        """
        self._require_size(size_bytes)
        if (open_one := self._uploads.pop(sha256, None)) is not None:
            self._parts[sha256] = open_one.leave()
        have = self._parts.get(sha256, 0)
        if have > size_bytes:
            have = self._drop_part(sha256)
        self._make_room(sha256, size_bytes, have, needed)
        path = self._folder / f"{sha256}.part"
        with _limits(self._folder):
            try:
                upload = PartialFile(path, sha256, size_bytes, have)
            except InvalidArgumentError:  # what came before was no G-code
                have = self._drop_part(sha256)
                upload = PartialFile(path, sha256, size_bytes, have)
        self._uploads[sha256], self._parts[sha256] = upload, upload.size
        return upload

    def require_room(self, size_bytes: int, needed: Collection[str]) -> None:
        """Raise LimitError where every file of that size is refused; changes nothing.

        One that is here already is never refused: it may be the one that is asked about.
        """
        self._require_size(size_bytes)
        if any(each.size_bytes == size_bytes for each in self._here()):
            return
        wholes = sum(each.size_bytes for sha, each in self._whole.items() if sha not in needed)
        parts = sum(size for sha, size in self._parts.items() if sha not in self._uploads)
        removable = wholes + parts
        free = self._free_bytes(self._folder) + removable
        if why := self._why_no_room(size_bytes, self.used_bytes - removable, free):
            raise LimitError(why)

    def _here(self) -> Iterator[StoredFile | PartialFile]:
        yield from self._whole.values()
        yield from self._uploads.values()

    def is_open(self, upload: PartialFile) -> bool:
        """Return whether an upload goes on; another of the same file ends it."""
        return self._uploads.get(upload.sha256) is upload

    def finish(self, upload: PartialFile) -> StoredFile:
        """Make a complete upload a file; InvalidArgumentError where its content is another."""
        self._require_open(upload)
        del self._uploads[upload.sha256]
        try:
            with _limits(self._folder):
                lines = upload.finish()
                stored = StoredFile(upload.sha256, upload.size_bytes, lines)
                upload.path.replace(self._whole_path(stored))
                _sync_folder(self._folder)
        except InvalidArgumentError:
            self._drop_part(upload.sha256)
            raise
        del self._parts[upload.sha256]
        self._whole[stored.sha256] = stored
        self._touched[stored.sha256] = self._clock()
        return stored

    def write(self, upload: PartialFile, pieces: Iterable[bytes]) -> int:
        """Add pieces to an upload and have them on the disk; return its new size."""
        self._require_open(upload)
        try:
            with _limits(self._folder):
                self._parts[upload.sha256] = upload.write(pieces)
        except InvalidArgumentError:
            del self._uploads[upload.sha256]
            self._drop_part(upload.sha256)
            raise
        return self._parts[upload.sha256]

    def leave(self, upload: PartialFile) -> None:
        """End an upload that was cut; what has come of it stays for another."""
        if self._uploads.get(upload.sha256) is upload:
            del self._uploads[upload.sha256]
            self._parts[upload.sha256] = upload.leave()
            self._touched[upload.sha256] = self._clock()

    def remove(self, sha256: str) -> None:
        """Delete a whole file, if it is here."""
        if (stored := self._whole.pop(sha256, None)) is not None:
            self._whole_path(stored).unlink(missing_ok=True)

    def remove_unused(self, needed: Collection[str], older_than_s: float = UNUSED_S) -> None:
        """Delete what no job needs and nobody touched for that long."""
        for sha256, stored in list(self._whole.items()):
            if sha256 not in needed and self._age_s(self._whole_path(stored)) >= older_than_s:
                self.remove(sha256)
        for sha256 in [each for each in self._parts if each not in self._uploads]:
            if self._age_s(self._part_path(sha256)) >= older_than_s:
                self._drop_part(sha256)
        self._touched = {
            sha256: at
            for sha256, at in self._touched.items()
            if sha256 in self._whole or sha256 in self._parts
        }

    def _age_s(self, path: Path) -> float:
        touched_at = self._touched.get(path.name[: hashlib.sha256().digest_size * 2])
        return self._now() - _modified(path) if touched_at is None else self._clock() - touched_at

    def _require_open(self, upload: PartialFile) -> None:
        if not self.is_open(upload):
            raise SessionLostError("another upload of the same file has taken over")

    def _require_size(self, size_bytes: int) -> None:
        if size_bytes == 0:
            raise InvalidArgumentError("the file is empty: there is nothing to run")
        if size_bytes > self._max_file_bytes:
            raise LimitError(
                f"the file has {size_text(size_bytes)}; this host accepts at most "
                f"{size_text(self._max_file_bytes)} per file ([files] max_file_bytes)"
            )

    def _make_room(self, sha256: str, size: int, have: int, needed: Collection[str]) -> None:
        def lacking() -> str:
            used = self.used_bytes - self._parts.get(sha256, 0)
            return self._why_no_room(size, used, self._free_bytes(self._folder) + have)

        if lacking():
            self._make_room_by(sha256, needed)
        if why := lacking():
            raise LimitError(why)

    def _why_no_room(self, size: int, used: int, free: int) -> str:
        if used + size > self._max_bytes:
            return (
                f"no room for {size_text(size)}: files take {size_text(used)} of "
                f"{size_text(self._max_bytes)} ([files] max_bytes); delete jobs"
            )
        if free < size + KEPT_FREE_BYTES:
            return (
                f"no room for {size_text(size)}: the disk of {self._folder} has {size_text(free)} "
                f"free, and {size_text(KEPT_FREE_BYTES)} must stay free; delete jobs or free space"
            )
        return ""

    def _make_room_by(self, sha256: str, needed: Collection[str]) -> None:
        for each in [each for each in self._whole if each not in needed]:
            self.remove(each)
        for each in [each for each in self._parts if each not in {sha256, *self._uploads}]:
            self._drop_part(each)

    def _drop_part(self, sha256: str) -> int:
        self._part_path(sha256).unlink(missing_ok=True)
        self._parts.pop(sha256, None)
        return 0

    def _part_path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.part"

    def _whole_path(self, stored: StoredFile) -> Path:
        return self._folder / f"{stored.sha256}-{stored.lines}.gcode"


class PartialFile:
    """A file that is being uploaded; `size` is what is on the disk for certain."""

    def __init__(self, path: Path, sha256: str, size_bytes: int, have_bytes: int) -> None:
        self.path = path
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._check = ProgramCheck()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            self.size = self._take_up(have_bytes)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, pieces: Iterable[bytes]) -> int:
        """Write pieces to the disk and return the new size in bytes.

        InvalidArgumentError if there are more than the size of the file.
        """
        for piece in pieces:
            if self.size + len(piece) > self.size_bytes:
                raise InvalidArgumentError(
                    f"the file has more bytes than size_bytes says ({self.size_bytes})"
                )
            self._check.feed(piece)
            try:
                _write_whole(self._file, piece)
            except OSError:  # the next begins where this began
                os.ftruncate(self._file, self.size)
                os.lseek(self._file, self.size, os.SEEK_SET)
                raise
            self._hash.update(piece)
            self.size += len(piece)
        os.fsync(self._file)
        return self.size

    def finish(self) -> int:
        """Close the file; returns its lines, InvalidArgumentError where it has another hash."""
        os.close(self._file)
        if self._hash.hexdigest() != self.sha256:
            raise InvalidArgumentError(
                "the file that arrived has another SHA-256 than that in `begin`: it changed during "
                "the upload; upload it again"
            )
        return self._check.finish()

    def leave(self) -> int:
        """Close the file as it is; returns its size."""
        with suppress(OSError):
            os.close(self._file)
        return self.size

    def _take_up(self, have_bytes: int) -> int:
        """Read the existing part as if it arrived now; what cannot be G-code is discarded."""
        done = 0
        while done < have_bytes and (piece := os.read(self._file, min(_READ_BYTES, have_bytes))):
            piece = piece[: have_bytes - done]
            self._check.feed(piece)
            self._hash.update(piece)
            done += len(piece)
        os.ftruncate(self._file, done)
        os.lseek(self._file, done, os.SEEK_SET)
        return done


@contextmanager
def _limits(folder: Path) -> Iterator[None]:
    """Turn a full disk into an error that a client understands."""
    try:
        yield
    except OSError as error:
        if error.errno not in {*FULL, errno.EFBIG}:
            raise
        why = of_file(error, folder / "upload").strerror
        raise LimitError(
            f"no room for this upload in {folder}: {why}; delete jobs or free space, then "
            "continue it"
        ) from error


def _write_whole(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
