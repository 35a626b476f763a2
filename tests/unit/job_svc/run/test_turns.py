"""Turns go round in order; who hurries waits for nobody, and who leaves blocks nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from usbshare.job_svc.run.turns import Turns


class Hall:
    """Those who take turns, and who is in."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name), name=name)
        await settled()

    async def go(self, name: str) -> None:
        self.leave[name].set()
        await settled()

    async def _stay(self, name: str) -> None:
        async with self.turns.turn(name):
            self.inside.append(name)
            try:
                await self.leave[name].wait()
            finally:
                self.inside.remove(name)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    made = Hall()
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def test_one_task_is_admitted_at_a_time_in_order(hall: Hall) -> None:
    for name in "abc":
        await hall.come(name)
    assert hall.inside == ["a"]
    await hall.go("a")
    assert hall.inside == ["b"]
    await hall.go("b")
    assert hall.inside == ["c"]
    await hall.go("c")
    await hall.come("d")
    assert hall.inside == ["d"]


async def test_a_hurried_task_enters_beside_the_current_one_and_delays_no_turn(hall: Hall) -> None:
    for name in "abc":
        await hall.come(name)
    hall.turns.hurry("c")
    await settled()
    assert hall.inside == ["a", "c"]
    await hall.go("c")
    assert hall.inside == ["a"]
    await hall.go("a")
    assert hall.inside == ["b"]


async def test_a_hurry_that_comes_before_its_turn_is_asked_for_counts(hall: Hall) -> None:
    await hall.come("a")
    hall.turns.hurry("b")
    await hall.come("b")
    assert hall.inside == ["a", "b"]
    await hall.go("b")
    await hall.come("b")
    assert hall.inside == ["a"]  # it counted once


@pytest.mark.parametrize("given_first", [False, True])
async def test_a_task_that_leaves_while_waiting_blocks_no_other(
    hall: Hall, given_first: bool
) -> None:
    for name in "abc":
        await hall.come(name)
    if given_first:  # the turn is given and taken back within one step of the loop
        hall.leave["a"].set()
        await asyncio.sleep(0)
    hall.tasks["b"].cancel()
    await settled()
    await hall.go("a")
    assert hall.inside == ["c"]
