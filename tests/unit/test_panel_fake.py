"""A page of a test stays open whatever its test does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from fakes.panel import page_at

DEADLINE_S = 60.0


class Pinging:
    """A gateway that pings its page, tells it one thing once that has answered, and ends."""

    def __init__(self) -> None:
        self.is_answered = asyncio.Event()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.ping()
        assert (await socket.receive(DEADLINE_S)).type is WSMsgType.PONG
        await socket.send_json({"gatewayChanged": {"identity": "told"}})
        self.is_answered.set()
        await socket.close()
        return socket


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Pinging, str]]:
    made, app = Pinging(), web.Application()
    app.router.add_get("/socket", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_page_answers_pings_while_its_test_does_something_else(
    gateway: tuple[Pinging, str],
) -> None:
    made, origin = gateway
    async with aiohttp.ClientSession() as http, page_at(http, origin) as page:
        async with asyncio.timeout(DEADLINE_S):
            await made.is_answered.wait()
        await page.until(lambda: page.gateway.get("identity") == "told")
        for _ in range(2):
            with pytest.raises(AssertionError, match="the socket ended"):
                await page.take()
