"""Twenty pages, some of which never read: a stop is answered, and nothing of them is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from fakes.footprint import footprint, settled_footprint
from fakes.panel import LASER, PanelHost, panel_host

PAGES = 20
WARM_UP, ROUNDS = 3, 6
GROWTH = 1.05
SPARE_KIB = 4 * 1024


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


async def crowd(shop: PanelHost, stack: AsyncExitStack) -> list[aiohttp.ClientWebSocketResponse]:
    """Open pages that never read what they are told."""
    headers = {"Origin": shop.origin}
    opening = [shop.http.ws_connect(f"{shop.origin}/socket", headers=headers) for _ in range(PAGES)]
    return [await stack.enter_async_context(each) for each in opening]


async def test_a_stop_is_answered_among_pages_that_do_not_read(shop: PanelHost) -> None:
    async with AsyncExitStack() as stack:
        await crowd(shop, stack)
        async with shop.ready_page() as page:
            await page.ask(show={"consoles": [LASER]})
            line = {"machine": LASER, "text": "$$"}
            flood = [await page.send(sendLine=line) for _ in range(20)]
            stop = await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_HOLD"})
            assert "stop" in stop, stop
            held = await page.until_laser(lambda laser: laser["port"].get("hold"))
            seen = {"epoch": held["port"]["epoch"], "holdNumber": held["port"]["holdNumber"]}
            resume = {"machine": LASER, "action": "STOP_ACTION_RESUME", **seen}
            assert "stop" in await page.ask(stop=resume)
            await page.until(lambda: all(number in page.answers for number in flood))


async def test_pages_that_are_gone_leave_nothing(shop: PanelHost) -> None:
    await come_and_go(shop, WARM_UP)  # until Python's own caches are full
    before = footprint(shop.panel)
    await come_and_go(shop, ROUNDS)
    after = await asyncio.to_thread(settled_footprint, shop.panel, before.descriptors)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.resident_kib <= before.resident_kib * GROWTH + SPARE_KIB


async def come_and_go(shop: PanelHost, rounds: int) -> None:
    """Have pages come, ask for something, and go while it is on its way."""
    for _ in range(rounds):
        async with AsyncExitStack() as stack:
            for index, socket in enumerate(await crowd(shop, stack)):
                await socket.send_json({"id": 1, "show": {"consoles": [LASER]}})
                if index % 2:
                    await socket.send_json({"id": 2, "ping": {}})
        async with shop.ready_page() as page:
            await page.ask(ping={})
