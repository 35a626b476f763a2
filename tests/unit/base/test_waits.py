"""Waiting for what may not come."""

from __future__ import annotations

import asyncio

import pytest

from usbshare.base.waits import first_of, set_within
from usbshare.base.watched_task import cancel_all


async def test_an_event_that_comes_ends_the_wait() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(set_within(event, 60.0))
    await asyncio.sleep(0)
    event.set()
    event.clear()  # it came all the same
    assert await waiting


async def test_an_event_that_does_not_come_ends_the_wait_at_its_time() -> None:
    assert not await set_within(asyncio.Event(), 0.0)


async def test_a_cancelled_task_waits_no_longer() -> None:
    waiting = asyncio.create_task(set_within(asyncio.Event(), 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_first_event_or_future_ends_the_wait_and_nothing_else() -> None:
    event = asyncio.Event()
    running = asyncio.create_task(asyncio.Event().wait())
    waiting = asyncio.create_task(first_of(running, event, asyncio.Event()))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    await waiting
    assert not running.done()
    await cancel_all(running)
    await first_of(running, asyncio.Event())


async def fail(error: Exception) -> None:
    raise error


async def test_waiting_for_the_first_ends_in_time_and_raises_nothing_of_what_it_waits_for() -> None:
    await first_of(asyncio.Event(), timeout_s=0)
    broken = asyncio.create_task(fail(ValueError("broken")))
    await first_of(broken, asyncio.Event())
    with pytest.raises(ValueError, match="broken"):
        broken.result()


async def test_waiting_for_the_first_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(first_of(asyncio.Event(), asyncio.Event()))
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 3
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before
