"""Notes that a thread keeps: of each key the newest, without waiting for a disk.

How to use it. A process has one `Background` for the files of its state folder, made where the
service is composed and closed at its end. What must be on the disk is put there by a key:

    background.put("latch laser", lambda: files.write(...))

`put` returns at once, also while the disk hangs. Work that waits is replaced by newer work of the
same key, so there is never more waiting than there are keys, and nothing is dropped. Work must be
complete in itself: it writes the whole state of its key, not a change. It runs in the thread, one
piece after the other, and is tried again while it raises OSError.

The order on the way of a stop is: change the state in memory, hand the byte to the driver, `put`
the note. Where the caller gets an answer, wait for the note before it, briefly:

    is_kept = await background.kept("latch laser", timeout_s=0.1)

Before the *first program byte* use `put_first`, which waits some ms for the note, and not at all
while the disk is known to hang. Nothing here may stand before the byte of a stop but `put`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from usbshare.base.waits import set_within

log = logging.getLogger(__name__)

Work = Callable[[], object]

RETRY_S = 0.5
CLOSE_TIMEOUT_S = 1.0
FIRST_TIMEOUT_S = 0.005
LONGEST_WORK_S = 2.0


class Background:
    """One daemon thread that does work by keys; begins with the first `put`."""

    def __init__(
        self, name: str, clock: Callable[[], float] = time.monotonic, retry_s: float = RETRY_S
    ) -> None:
        self._name = name
        self._clock = clock
        self._retry_s = retry_s
        self._waiting: dict[str, Work] = {}
        self._doing: str | None = None
        self._doing_since = 0.0
        self._error = ""
        self._is_late = False
        self._ended = False
        self._news = threading.Condition()
        self._watchers: list[tuple[str, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why nothing can be noted at present; empty if it can."""
        with self._news:
            if self._error or self._doing is None:
                return self._error
            busy_s = self._clock() - self._doing_since
        return f"the disk has been hanging for {busy_s:.0f} s" if busy_s > LONGEST_WORK_S else ""

    def put(self, key: str, work: Work) -> None:
        """Have work done soon, in place of what waits for the same key; never waits."""
        with self._news:
            if self._ended:
                return
            self._waiting[key] = work
            self._news.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def put_first(self, key: str, work: Work, timeout_s: float = FIRST_TIMEOUT_S) -> bool:
        """Put work and block until it is done, some ms at most; not at all while the disk hangs.

        Returns whether it is done. For a note that should be there before a program's first byte.
        """
        self.put(key, work)
        with self._news:
            if self._is_late:
                return False
            is_done = self._news.wait_for(lambda: not self._is_pending(key), timeout_s)
            self._is_late = not is_done
            return is_done

    async def kept(self, key: str, timeout_s: float) -> bool:
        """Wait until nothing is to be done for the key; False if that takes longer."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                loop.call_soon_threadsafe(done.set)

        with self._news:
            if not self._is_pending(key):
                return True
            watcher = (key, tell)
            self._watchers.append(watcher)
        try:
            if not await set_within(done, timeout_s):
                return False
        finally:
            with self._news:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)
        return True

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Do what waits and end; blocks, that long at most. What is put later is ignored."""
        with self._news:
            self._ended = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self._waiting and self._doing is None, timeout_s)
            left = len(self._waiting) + (self._doing is not None)
        if left:
            log.error("%s: could not write %d notes before the end", self._name, left)

    def _is_pending(self, key: str) -> bool:
        return key in self._waiting or self._doing == key

    # The thread.

    def _run(self) -> None:
        while (begun := self._begin()) is not None:
            key, work = begun
            error = _error_of(work)
            self._told(error)
            self._finish(key, work, has_failed=bool(error))
            del begun, work

    def _begin(self) -> tuple[str, Work] | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return None
            key = next(iter(self._waiting))
            self._doing, self._doing_since = key, self._clock()
            return key, self._waiting.pop(key)

    def _finish(self, key: str, work: Work, *, has_failed: bool) -> None:
        with self._news:
            self._doing = None
            if has_failed:
                self._waiting.setdefault(key, work)
                self._news.wait_for(lambda: self._ended, self._retry_s)
                if self._ended:  # another attempt would not help
                    self._waiting.pop(key, None)
            else:
                self._is_late = False
            self._tell_watchers(key)
            self._news.notify_all()

    def _tell_watchers(self, key: str) -> None:
        if self._is_pending(key):
            return
        ready = [each for each in self._watchers if each[0] == key]
        self._watchers = [each for each in self._watchers if each[0] != key]
        for _, tell in ready:
            tell()

    def _told(self, error: str) -> None:
        before, self._error = self._error, error
        if error and not before:
            log.error("%s: %s; trying again", self._name, error)
        elif before and not error:
            log.warning("%s: can be written again", self._name)


def _error_of(work: Work) -> str:
    try:
        work()
    except OSError as error:
        return f"cannot write {error.filename or 'a note'}: {error.strerror or error}"
    except Exception:  # whatever it is, the others' notes are written
        log.exception("a note failed")
    return ""
