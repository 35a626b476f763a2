"""A start that is called off ends before anything moves."""

from __future__ import annotations

import asyncio

import pytest

from usbshare.base.errors import WrongStateError
from usbshare.job_svc.run.starting import Starting

LONG_S = 30.0


async def begun(starting: Starting, job_id: int) -> asyncio.Task[None]:
    entered = asyncio.Event()

    async def start() -> None:
        async with starting.turn(job_id, "laser"):
            entered.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(start())
    await entered.wait()
    return task


async def test_the_starter_is_told_who_called_the_start_off() -> None:
    starting = Starting()
    task = await begun(starting, 7)
    assert await starting.call_off(7, "laser", "held by anna", LONG_S)
    with pytest.raises(WrongStateError, match="job 7 does not start: held by anna"):
        await task
    assert not await starting.call_off(7, "laser", "held by anna", LONG_S)


async def test_one_port_starts_one_job_at_a_time_and_the_next_after_it() -> None:
    starting = Starting()
    task = await begun(starting, 7)
    with pytest.raises(WrongStateError, match="another job is being started on port 'laser'"):
        await begun_now(starting, 8)
    assert not await starting.call_off(8, "laser", "held by anna", LONG_S)
    await starting.call_off(7, "laser", "held by anna", LONG_S)
    await asyncio.gather(task, return_exceptions=True)
    await begun_now(starting, 8)


async def begun_now(starting: Starting, job_id: int) -> None:
    async with starting.turn(job_id, "laser"):
        pass


async def test_a_start_called_off_in_its_last_step_ends() -> None:
    starting, calls = Starting(), list[asyncio.Task[bool]]()
    async with starting.turn(7, "laser") as start:
        calls.append(asyncio.create_task(starting.call_off(7, "laser", "held by anna", LONG_S)))
        await asyncio.sleep(0)  # it is called off; the turn itself has not heard of it yet
        with pytest.raises(WrongStateError, match="held by anna"):
            start.require_wanted()
    assert await calls[0]


async def test_a_time_limit_of_the_start_itself_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with Starting().turn(7, "laser"):
            raise TimeoutError


async def test_all_starts_are_called_off_at_once() -> None:
    starting = Starting()
    tasks = [await begun(starting, 7)]
    other = asyncio.Event()

    async def start() -> None:
        async with starting.turn(8, "mill"):
            other.set()
            await asyncio.get_running_loop().create_future()

    tasks.append(asyncio.create_task(start()))
    await other.wait()
    await starting.call_off_all("the service stops", LONG_S)
    for task in tasks:
        with pytest.raises(WrongStateError, match="does not start: the service stops"):
            await task
    await starting.call_off_all("the service stops", LONG_S)
