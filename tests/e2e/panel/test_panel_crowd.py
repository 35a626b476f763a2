"""Twenty pages: a stop is answered though some never read, and an hour of them leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from fakes.footprint import Footprint, footprint, settled_footprint
from fakes.panel import LASER, TIMEOUT_S, PanelHost, panel_host
from fakes.processes import Process
from usbshare.serial.v1 import serial_pb2

PAGES = 20
WARM_UP, ROUNDS = 3, 6
# What an hour brings: a page's pings, one a second, and reports of a machine that moves.
HOUR_S = 3600
REPORTS_PER_S = 5
PINGS_AT_ONCE, REPORTS_AT_ONCE = 4, 8
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
    await nothing_is_left(shop.panel, before)


@pytest.mark.slow
async def test_an_hour_of_twenty_pages_leaves_nothing(shop: PanelHost) -> None:
    await stay(shop, HOUR_S // 4)  # until consoles and histories are full
    processes = [each for each in (shop.panel, shop.host.serial, shop.host.job) if each]
    before = [footprint(each) for each in processes]
    streams = await observers(shop)
    await stay(shop, HOUR_S)
    for process, held in zip(processes, before, strict=True):
        await nothing_is_left(process, held)
    assert await observers(shop) == streams


async def nothing_is_left(process: Process, before: Footprint) -> None:
    """Fail where a process holds more than before."""
    after = await asyncio.to_thread(settled_footprint, process, before.descriptors)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.resident_kib <= before.resident_kib * GROWTH + SPARE_KIB


async def observers(shop: PanelHost) -> int:
    """Return how many streams watch the laser, as its service counts."""
    reply = await shop.host.machines().ListPorts(serial_pb2.ListPortsRequest(), timeout=TIMEOUT_S)
    return int(next(each.observers for each in reply.ports if each.id == "laser"))


async def stay(shop: PanelHost, seconds: int) -> None:
    """Have pages stay open for what happens in that time, as fast as it goes."""
    async with asyncio.TaskGroup() as pages:
        for _ in range(PAGES):
            pages.create_task(watch(shop, seconds))
        pages.create_task(move(shop, seconds))


async def watch(shop: PanelHost, seconds: int) -> None:
    """Be a page that shows the console and says each second that it lives."""
    headers = {"Origin": shop.origin}
    async with shop.http.ws_connect(f"{shop.origin}/socket", headers=headers) as socket:
        await socket.send_json({"show": {"consoles": [LASER]}})
        answered = asked = 0
        while answered < seconds:
            while asked < min(seconds, answered + PINGS_AT_ONCE):
                asked += 1
                await socket.send_json({"id": asked, "ping": {}})
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            answered += message.data.startswith('{"answer"')


async def move(shop: PanelHost, seconds: int) -> None:
    """Have the machine report again and again where it is while it moves."""
    async with shop.ready_page() as page:
        for begun in range(0, seconds * REPORTS_PER_S, REPORTS_AT_ONCE * 100):
            step = {"machine": LASER, "xMm": 1 - 2 * (begun // 800 % 2), "feed": 60}
            await page.ask(jogStep=step)
            for _ in range(100):
                numbers = [
                    await page.send(sendLine={"machine": LASER, "text": "?"})
                    for _ in range(REPORTS_AT_ONCE)
                ]
                await page.until(lambda: all(each in page.answers for each in numbers))  # noqa: B023
            page.events.clear()
            page.answers.clear()
            page.lines.clear()


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
