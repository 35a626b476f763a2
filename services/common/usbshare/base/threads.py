"""Blocking calls in daemon threads: none waits for another's, and none keeps the process alive.

`asyncio.to_thread` and every ThreadPoolExecutor share a few threads, and the interpreter joins
them at its end: one call to a disk that hangs delays all that come after it, and the process never
ends. So nothing here uses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NAME = "usbshare call"


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the work returns; it runs in a separate thread from now on.

    If the caller is cancelled, the work goes on and its result is dropped.
    """
    return await begin(work, *args, **kwargs)


def begin(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Begin work in a separate thread, at once; a cancelled future does not end it.

    For what must be done even if the caller's task is cancelled before its first step: closing.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    call = _Call(lambda: work(*args, **kwargs), loop, future, must_run=True)
    threading.Thread(target=call.run, name=_NAME, daemon=True).start()
    return future


class OwnThread:
    """Does blocking work, one piece after the other; the thread begins with the first.

    With `idle` it is kept: called in the thread whenever there was no work for `every_s`.
    """

    def __init__(
        self, name: str, idle: Callable[[], None] | None = None, every_s: float | None = None
    ) -> None:
        self._name = name
        self._idle = idle
        self._every_s = every_s
        self._waiting: deque[_Call] = deque()
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = self._is_due = False

    def start(self) -> None:
        """Begin at once, for what is done while there is no work."""
        with self._news:
            self._begin()

    def idle_every(self, every_s: float | None) -> None:
        """Do what is done while there is no work once now, and then this often; None: no more."""
        with self._news:
            self._every_s = every_s
            self._is_due = every_s is not None
            self._news.notify_all()

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Queue work; it is dropped if its future is cancelled first.

        RuntimeError after the end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._news:
            if self._closed:
                raise RuntimeError(f"thread '{self._name}' is closed")
            self._add(_Call(lambda: work(*args, **kwargs), loop, future))
        return future

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns; what has begun is finished even if not awaited any more."""
        return await self.submit(work, *args, **kwargs)

    def close(self) -> None:
        """Take no more work; what waits is dropped, what has begun is not waited for."""
        with self._news:
            self._drop_waiting()
            self._news.notify_all()

    def finish(self, last: Callable[[], T]) -> asyncio.Future[T]:
        """Drop what waits, then do the last piece of work, even if it is not awaited, and end."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._news:
            self._drop_waiting()
            self._add(_Call(last, loop, future, must_run=True))
        return future

    def _drop_waiting(self) -> None:
        self._closed = True
        for call in self._waiting:
            call.drop()
        self._waiting.clear()

    def _add(self, call: _Call) -> None:
        self._waiting.append(call)
        self._news.notify_all()
        self._begin()

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._news:
                is_idle = not self._wait()
                if self._closed and not self._waiting:
                    return
                call = self._waiting.popleft() if self._waiting else None
                if call is None:
                    is_idle, self._is_due = is_idle or self._is_due, False
            if call is not None:
                call.run()
            elif is_idle and self._idle is not None:
                self._idle()
            del call  # what it holds must not live until the next

    def _wait(self) -> bool:
        """Wait for work, or for other times of what is done meanwhile; False if none came."""
        every_s = self._every_s

        def is_news() -> bool:
            is_changed = self._is_due or self._every_s != every_s
            return bool(self._waiting) or self._closed or is_changed

        return self._news.wait_for(is_news, every_s)


class _Call:
    """Work for a thread, and the future that a loop waits for."""

    def __init__(
        self,
        work: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[T],
        *,
        must_run: bool = False,
    ) -> None:
        def finish(outcome: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(outcome)  # type: ignore[arg-type]  # None only if T is

        self._work: Callable[[], object] = work
        self._loop = loop
        self._future = future
        self._must_run = must_run
        self._finish: Callable[..., None] = finish

    def run(self) -> None:
        """Do the work, unless its result is no longer awaited; called in the thread."""
        if self._future.cancelled() and not self._must_run:
            return
        try:
            outcome = self._work()
        except BaseException as error:  # handed to the waiting caller
            self._post(None, error)
        else:
            self._post(outcome, None)

    def drop(self) -> None:
        """Release all that wait for it; called on the loop."""
        self._future.cancel()

    def _post(self, outcome: object, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
            self._loop.call_soon_threadsafe(self._finish, outcome, error)
