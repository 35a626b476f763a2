"""Notifies a loop that files have changed; it sleeps until then, and only a thread checks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from usbshare.base.waits import set_within

LOOK_S = 0.5

_Stamp = tuple[int, int, int, int]
_Stamps = tuple[_Stamp | None, ...]


class FileWatch:
    """Looks at files from one daemon thread, which begins with the first follower."""

    def __init__(self, name: str, look_s: float = LOOK_S) -> None:
        self._name = name
        self._look_s = look_s
        self._followers: list[FileFollower] = []
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, paths: Sequence[Path]) -> FileFollower:
        """Return what is notified when a file changes; call on the loop that waits for it."""
        follower = FileFollower(tuple(paths), asyncio.get_running_loop())
        self._followers.append(follower)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return follower

    def unfollow(self, follower: FileFollower) -> None:
        """Stop watching the files of a follower."""
        with contextlib.suppress(ValueError):
            self._followers.remove(follower)

    def close(self) -> None:
        """Stop watching; does not wait for a disk that hangs."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._look_s):
            for follower in tuple(self._followers):
                follower.look()


class FileFollower:
    """Knows how some files were when last looked at."""

    def __init__(self, paths: Sequence[Path], loop: asyncio.AbstractEventLoop) -> None:
        self._paths = paths
        self._loop = loop
        self._changed = asyncio.Event()
        self._seen: _Stamps | None = None

    async def changed(self, timeout_s: float) -> bool:
        """Wait until a file changes, or has changed since the last call; False at the timeout."""
        if not await set_within(self._changed, timeout_s):
            return False
        self._changed.clear()
        return True

    def wake(self) -> None:
        """Let `changed` return though no file has; call on the loop."""
        self._changed.set()

    def look(self) -> None:
        """Wake those who wait if a file is not as it was; the first look always does. Blocks."""
        stamps = tuple(_stamp(path) for path in self._paths)
        if stamps != self._seen:
            self._seen = stamps
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                self._loop.call_soon_threadsafe(self._changed.set)


def _stamp(path: Path) -> _Stamp | None:
    """Return what distinguishes versions of a file, None if it cannot be seen."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
