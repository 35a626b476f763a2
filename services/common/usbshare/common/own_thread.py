"""A thread for one purpose, so that nothing else that blocks can hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class OwnThread:
    """Does blocking work, one piece after the other; the thread begins with the first."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns; what has begun is finished, whoever waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Take no more work; what waits is dropped, what has begun is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)
