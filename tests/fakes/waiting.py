"""Waiting for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.002


async def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Return when the condition holds; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def beside_loop(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave what blocks, such as a process, in threads."""
    entered = await asyncio.to_thread(context.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
