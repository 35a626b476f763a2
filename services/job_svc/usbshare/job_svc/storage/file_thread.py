"""The file store for the event loop: everything that may wait for a disk runs in one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from usbshare.base.errors import DeviceError, LimitError
from usbshare.base.os_errors import in_words
from usbshare.base.threads import OwnThread
from usbshare.job_svc.storage.files import FileStore, PartialFile
from usbshare.job_svc.storage.job import StoredFile

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)
MOST_UPLOADS = 16
TIDY_EVERY_S = 3600.0


class Files:
    """The file store, each call in its thread; errors of the disk are told as DeviceError.

    `needed` lists the files that jobs need at the moment.
    """

    def __init__(self, store: FileStore, needed: Callable[[], Collection[str]]) -> None:
        self._store = store
        self._needed = needed
        self._uploads = 0
        self._thread = OwnThread("files of jobs", self._tidy, TIDY_EVERY_S)

    @property
    def used_bytes(self) -> int:
        """What the files take."""
        return self._store.used_bytes

    async def load(self) -> None:
        """Find out which files there are."""
        await self._run(self._store.load)

    async def find(self, sha256: str) -> StoredFile | None:
        """Return a whole file, None if it is not here."""
        return await self._run(self._store.find, sha256)

    async def path(self, sha256: str) -> Path:
        """Return where a file is; NotFoundError where it is gone."""
        return await self._run(self._store.path, sha256)

    async def begin(self, sha256: str, size_bytes: int) -> PartialFile:
        """Begin or continue an upload; end it with `leave` in any case. LimitError for too many."""
        if self._uploads >= MOST_UPLOADS:
            raise LimitError(f"{MOST_UPLOADS} uploads are already in progress: wait for one to end")
        self._uploads += 1
        try:
            return await self._run(self._store.begin, sha256, size_bytes, set(self._needed()))
        except BaseException:
            self._uploads -= 1
            raise

    async def require_room(self, size_bytes: int) -> None:
        """Raise LimitError where every file of that size would be refused."""
        await self._run(self._store.require_room, size_bytes, set(self._needed()))

    async def write(self, upload: PartialFile, pieces: Sequence[bytes]) -> int:
        """Write pieces to the disk; returns how many bytes of the file are there."""
        return await self._run(self._store.write, upload, pieces)

    async def finish(self, upload: PartialFile) -> StoredFile:
        """Make a complete upload a file."""
        return await self._run(self._store.finish, upload)

    def leave(self, upload: PartialFile) -> None:
        """End an upload soon, complete or not; never waits."""
        self._uploads -= 1
        self._thread.submit(self._store.leave, upload)

    def remove(self, sha256: str) -> None:
        """Delete a file soon, unless a job needs it by then; never waits."""
        needed = self._needed

        def remove() -> None:
            if sha256 not in needed():
                self._told(lambda: self._store.remove(sha256))

        self._thread.submit(remove)

    def close(self) -> None:
        """Take no more work."""
        self._thread.close()

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._thread.run(work, *args, **kwargs)
        except OSError as error:
            raise DeviceError(f"the host's disk: {in_words(error)}") from error

    def _tidy(self) -> None:
        self._told(partial(self._store.remove_unused, set(self._needed())))

    @staticmethod
    def _told(work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            _log.warning("files of jobs: %s", in_words(error))
