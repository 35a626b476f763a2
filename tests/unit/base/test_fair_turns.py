"""However many are due at once, what must not wait comes between a few of them."""

from __future__ import annotations

import asyncio

from usbshare.base.fair_turns import Turns


async def test_only_a_few_go_on_in_each_round_of_the_loop() -> None:
    turns, gone_on = Turns(3), 0

    async def one() -> None:
        nonlocal gone_on
        await turns.take()
        gone_on += 1

    tasks = [asyncio.create_task(one()) for _ in range(30)]
    most, rounds = 0, 0
    while gone_on < 30:
        before = gone_on
        await asyncio.sleep(0)  # one round
        most, rounds = max(most, gone_on - before), rounds + 1
        assert rounds < 100
    assert most == 3
    await asyncio.gather(*tasks)


async def test_tasks_continue_in_the_order_in_which_they_asked() -> None:
    turns, order = Turns(2), list[int]()

    async def one(number: int) -> None:
        await turns.take()
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    assert order == list(range(10))


async def test_a_cancelled_waiter_takes_no_other_turn() -> None:
    turns = Turns(1)
    first, second, third = (asyncio.create_task(turns.take()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(first, third)
    assert second.cancelled()
