"""Waiting for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_POLL_S = 0.002


async def until(condition: Callable[[], object], timeout_s: float = 30) -> None:
    """Return when the condition holds; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(_POLL_S)
