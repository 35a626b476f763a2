"""Tasks that run beside others: what ends with them, and what is called after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


def in_background(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start it; the caller keeps the task, and ends it by `cancel_all`."""
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(_tell_failure)
    return task


async def run_until(stopped: asyncio.Event, **work: Coroutine[Any, Any, object]) -> None:
    """Run work, by its name, until it is stopped or the first ends; raise what that one raised.

    The rest is cancelled, and has ended when this returns.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stopped.wait(), name="until stopped")]
    tasks += [asyncio.create_task(each, name=name) for name, each in work.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_all(*tasks)


async def cancel_all(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel them and wait until they have ended, however they did."""
    living = [task for task in tasks if task is not None]
    for task in living:
        task.cancel()
    await asyncio.gather(*living, return_exceptions=True)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s failed", task.get_name(), exc_info=error)
