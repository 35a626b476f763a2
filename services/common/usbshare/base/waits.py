"""Waiting for what may not come: for a time, or for the first of several."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from usbshare.base.watched_task import cancel_all


class Signal(Protocol):
    """What can be waited for, as an event can."""

    async def wait(self) -> object:
        """Return when it comes, or has come."""


async def set_within(event: Signal, timeout_s: float | None) -> bool:
    """Wait for an event, that long at most, None for ever; returns whether it came."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def first_of(
    *waited: asyncio.Event | asyncio.Future[Any], timeout_s: float | None = None
) -> None:
    """Return when the first event is set or the first future done, or after that time.

    It ends none of the futures, and raises nothing of theirs.
    """
    events = [
        asyncio.create_task(each.wait(), name="wait for the first")
        for each in waited
        if isinstance(each, asyncio.Event)
    ]
    futures = [each for each in waited if not isinstance(each, asyncio.Event)]
    try:
        await asyncio.wait(
            (*events, *futures), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        await cancel_all(*events)
