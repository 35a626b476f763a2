"""Blocking work outside of any event loop: waited for with a message and a deadline.

A disk that hangs answers no call, and the program would hang without saying why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ALOUD_AFTER_S = 1.0


class Watched:
    """Runs blocking work in daemon threads, and watches that it moves.

    Work that takes long but calls `moved` meanwhile is making progress, and is not reported.
    """

    def __init__(self, what: str, tell: Callable[[str], None], timeout_s: float) -> None:
        self._what = what
        self._tell = tell
        self._timeout_s = timeout_s
        self._moved_at = 0.0

    def moved(self) -> None:
        """Note that something has answered; any thread may."""
        self._moved_at = time.monotonic()

    def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises.

        After a second without an answer one line says what is waited for, and how long. Raises
        TimeoutError after that; the work then continues unobserved, and its result is lost.
        """
        future = begin_apart(work)
        self.moved()
        aloud_after_s = min(ALOUD_AFTER_S, self._timeout_s)
        self._wait(future, aloud_after_s)
        if not future.done():
            left_s = self._timeout_s - aloud_after_s
            self._tell(f"waiting for {self._what}: no answer yet; giving up in {left_s:g} s")
            self._wait(future, self._timeout_s)
        return future.result(0)

    def _wait(self, future: Future[T], silent_s: float) -> None:
        """Wait for the work, or for so long a silence."""
        while (left_s := self._moved_at + silent_s - time.monotonic()) > 0:
            if wait((future,), left_s).done:
                return


def in_time(what: str, work: Callable[[], T], tell: Callable[[str], None], timeout_s: float) -> T:
    """Return what the work returns, or raise what it raises, as a `Watched` that never moves."""
    return Watched(what, tell, timeout_s).run(work)


def begin_apart(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Begin work at once in a separate daemon thread, for callers without an event loop."""
    future: Future[T] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work(*args, **kwargs)
        except BaseException as error:  # handed to the waiting caller
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="usbshare call", daemon=True).start()
    return future
