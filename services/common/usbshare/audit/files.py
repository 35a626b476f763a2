"""The files of one log: `NAME.jsonl`, full ones `NAME.LASTLINE.jsonl`, its head and its lock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from usbshare.audit.head import Head, read_head
from usbshare.base.file_lock import file_lock

_CURRENT = re.compile(r"([A-Za-z0-9_-]+)\.jsonl")


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where the files of a log are."""

    folder: Path
    name: str

    @property
    def current(self) -> Path:
        """The file that is written to."""
        return self.folder / f"{self.name}.jsonl"

    @property
    def head(self) -> Path:
        """Where the chain begins and ends."""
        return self.folder / f"{self.name}.head"

    @property
    def lock(self) -> Path:
        """Who holds it may write and put files aside."""
        return self.folder / f"{self.name}.lock"

    def full(self, last: int) -> Path:
        """Return the name of a full file that ends with that line."""
        return self.folder / f"{self.name}.{last:012}.jsonl"

    def all_full(self) -> list[Path]:
        """Return the full files, oldest first."""
        return sorted(self.folder.glob(f"{self.name}.{'[0-9]' * 12}.jsonl"))


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file as it was when it was opened: `size` bytes of it count."""

    path: Path
    file: BinaryIO
    size: int

    def lines(self) -> Iterator[bytes]:
        """Yield the lines with their ends; the last one may have none."""
        self.file.seek(0)
        left = self.size
        while left > 0 and (line := self.file.readline(left)):
            left -= len(line)
            yield line


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole log at one moment."""

    files: tuple[OpenFile, ...]
    head: Head | None


@contextmanager
def snapshot(files: LogFiles) -> Iterator[Snapshot]:
    """Hold a log as it is now, whatever is written meanwhile; raises OSError, ConfigError."""
    with ExitStack() as stack:
        with file_lock(files.lock):
            head = read_head(files.head)
            paths = [*files.all_full(), files.current]
            opened = [
                OpenFile(path, stack.enter_context(path.open("rb")), path.stat().st_size)
                for path in paths
                if path.exists()
            ]
        yield Snapshot(tuple(opened), head)


def logs_in(folder: Path) -> list[LogFiles]:
    """Return the logs of a folder by name, those too of which a part is lost, or all."""
    names = {
        match[1] for path in folder.glob("*.jsonl") if (match := _CURRENT.fullmatch(path.name))
    }
    # The lock of a log is there from its first line on, whatever becomes of the rest.
    names |= {path.stem for kind in ("head", "lock") for path in folder.glob(f"*.{kind}")}
    return [LogFiles(folder, name) for name in sorted(names)]


def log_at(path: Path) -> LogFiles:
    """Return the log whose current file that is."""
    return LogFiles(path.parent, path.name.removesuffix(".jsonl"))
