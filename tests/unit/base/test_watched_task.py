"""Work that runs until it is stopped, or until the first of it ends."""

from __future__ import annotations

import asyncio

import pytest

from usbshare.base.watched_task import cancel_all, run_until


class Work:
    """Runs until cancelled, and remembers whether it was."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.is_cancelled = False

    async def run(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def end(error: Exception | None = None) -> None:
    if error is not None:
        raise error


async def test_a_stop_ends_all_of_it() -> None:
    stopped, works = asyncio.Event(), (Work(), Work())
    running = asyncio.create_task(run_until(stopped, one=works[0].run(), two=works[1].run()))
    for work in works:
        await work.begun.wait()
    stopped.set()
    await running
    assert all(work.is_cancelled for work in works)


async def test_the_first_that_ends_ends_the_others() -> None:
    work = Work()
    await run_until(asyncio.Event(), runs=work.run(), ends=end())
    assert work.is_cancelled


async def test_the_first_error_is_raised_once_the_other_tasks_have_ended() -> None:
    work = Work()
    with pytest.raises(ValueError, match="broken"):
        await run_until(asyncio.Event(), runs=work.run(), breaks=end(ValueError("broken")))
    assert work.is_cancelled


async def test_a_cancelled_caller_leaves_nothing_running() -> None:
    work = Work()
    running = asyncio.create_task(run_until(asyncio.Event(), runs=work.run()))
    await work.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.is_cancelled


async def test_cancelled_tasks_have_ended_in_any_case() -> None:
    work, broken = Work(), asyncio.create_task(end(ValueError("broken")))
    running = asyncio.create_task(work.run())
    await work.begun.wait()
    await cancel_all(running, None, broken)
    assert running.cancelled()
    assert broken.done()


async def test_a_task_cancelled_while_waiting_for_the_end_is_cancelled() -> None:
    is_ending = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(slow())
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancel_all(running))
    await is_ending.wait()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert running.cancelled()
