"""The executor of an event loop whose threads are not waited for, not even at its end.

asyncio gives blocking calls (`to_thread`, `getaddrinfo`) to a ThreadPoolExecutor. It shares a few
threads among all, and both the loop and the interpreter join them at their end: one call to a host
that is silent or a disk that hangs makes a program with `--timeout 5` last as long as that call.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from usbshare.base.deadline import begin_apart

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
        return begin_apart(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin no more calls; those under way are left alone."""
        self._is_closed = True
