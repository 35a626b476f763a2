"""Jobs are watched while somebody looks: an attended job goes on only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from fakes.waiting import until
from usbshare.panel.board import Board
from usbshare.panel.jobs import job_follower as module
from usbshare.panel.jobs.job_follower import JobFollower
from usbshare.panel.seen import SeenJob
from usbshare.rpc.channel import Target

RUNS = SeenJob(1, "laser", False, cast(Any, None))


class Calls:
    """A job service whose job runs, and is told of again and again."""

    def __init__(self) -> None:
        self.watches = self.began = 0
        self.is_closed = False

    async def connect(self) -> None: ...

    async def seen_jobs(self) -> AsyncGenerator[SeenJob, None]:
        self.watches += 1
        self.began += 1
        try:
            while True:
                yield RUNS
                await asyncio.sleep(0.001)
        finally:
            self.watches -= 1

    async def close(self) -> None:
        self.is_closed = True


async def at_once(targets: list[Target], bundle: object) -> Target:
    return targets[0]


async def test_a_panel_without_a_page_watches_no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "proven", at_once)
    calls, board, connected = Calls(), Board(), asyncio.Event()
    follower = JobFollower(
        "shop", lambda *_: calls, board, lambda host, job: "{}", lambda _: connected.set()
    )
    following = asyncio.create_task(follower.run_once([Target("shop", 1)], None))
    await connected.wait()
    assert calls.began == 0
    page = board.open(is_local=True)
    await until(lambda: calls.watches == 1)
    other = board.open(is_local=True)
    board.close(page)
    await asyncio.sleep(0.01)
    assert calls.watches == 1  # somebody still looks
    board.close(other)
    await until(lambda: calls.watches == 0)
    board.open(is_local=True)
    await until(lambda: calls.watches == 1)
    assert calls.began == 2
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert (calls.watches, calls.is_closed) == (0, True)
