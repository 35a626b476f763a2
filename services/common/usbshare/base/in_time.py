"""Blocking work of a program's start, before any event loop: waited for aloud, not for ever.

A disk that hangs answers no call, and neither would the program: nobody would learn why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

ALOUD_AFTER_S = 1.0


def in_time(what: str, work: Callable[[], T], tell: Callable[[str], None], timeout_s: float) -> T:
    """Return what the work returns, or raise what it raises; it has a daemon thread of its own.

    After a second `tell` gets one line that says what is waited for, and how long. Raises
    TimeoutError after that; the work then goes on by itself, and nobody learns what came of it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # handed to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="usbshare start", daemon=True).start()
    aloud_after_s = min(ALOUD_AFTER_S, timeout_s)
    try:
        return future.result(aloud_after_s)
    except TimeoutError:
        if future.done():  # the work itself raised it
            raise
    left_s = timeout_s - aloud_after_s
    tell(f"waiting for {what}: no answer yet, for {left_s:g} s more at most")
    return future.result(left_s)
