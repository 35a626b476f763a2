"""Waiting for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")

# A look at a record that grows costs more the longer one waits: it is repeated more seldom.
_POLL_S, _RAREST_POLL_S = 0.002, 0.05
_POLL_PART = 0.05  # of the time that has passed


async def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Return when the condition holds; raises TimeoutError."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(timeout_s):
        while not condition():  # what is waited for has no event
            passed = loop.time() - begun
            await asyncio.sleep(min(max(_POLL_S, passed * _POLL_PART), _RAREST_POLL_S))


@asynccontextmanager
async def beside_loop(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave what blocks, such as a process, in threads."""
    entered = await asyncio.to_thread(context.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
