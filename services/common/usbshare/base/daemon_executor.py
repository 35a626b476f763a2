"""The executor of an event loop whose threads are not waited for, not even at its end.

asyncio gives blocking calls (`to_thread`, `getaddrinfo`) to a ThreadPoolExecutor. It shares a few
threads among all, and both the loop and the interpreter join them at their end: one call to a host
that is silent or a disk that hangs makes a program with `--timeout 5` last as long as that call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """Runs each call in a separate daemon thread, started at once.

    A ThreadPoolExecutor in name, since `loop.set_default_executor` takes nothing else. What must be
    done before the program ends is awaited by its caller.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._is_closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a call."""
        if self._is_closed:
            raise RuntimeError("cannot start a call after the end of its event loop")
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # handed to the waiting caller
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="usbshare call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin no more calls; those under way are left alone."""
        self._is_closed = True
