"""Calls into a camera's driver beside its capture, none of which can hold the service up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from usbshare.base.errors import DeviceError

T = TypeVar("T")


class DriverCalls:
    """Runs each call in a separate daemon thread: the end of the process waits for none."""

    def __init__(self, name: str, timeout_s: float, most: int = 4) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._places = threading.Semaphore(most)

    async def call(self, function: Callable[[], T]) -> T:
        """Return what the function returns; DeviceError when the driver does not answer."""
        if not self._places.acquire(blocking=False):
            raise DeviceError(f"camera '{self._name}' does not answer: its driver hangs")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(
            target=self._run, args=(function, loop, done), name=f"ask {self._name}", daemon=True
        )
        thread.start()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await done
        except TimeoutError as error:
            why = f"does not answer within {self._timeout_s:g} s"
            raise DeviceError(f"camera '{self._name}' {why}") from error

    def _run(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[T],
    ) -> None:
        try:
            settle = partial(done.set_result, function())
        except Exception as error:  # whatever the driver raises is the caller's
            settle = partial(done.set_exception, error)
        finally:
            self._places.release()
        with suppress(RuntimeError):  # the loop has ended before a driver that hung
            loop.call_soon_threadsafe(lambda: None if done.done() else settle())
