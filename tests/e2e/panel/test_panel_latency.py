"""A page shows where the time of a machine's round trips goes: real panel, real host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.panel import HOST, LASER, PanelHost, panel_host
from fakes.panel import Page as PanelPage


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


def latencies(page: PanelPage) -> list[dict[str, Any]]:
    return [event["latency"] for event in page.events if "latency" in event]


async def test_a_page_gets_the_parts_of_a_latency_while_it_shows_them(
    shop: PanelHost,
) -> None:
    async with shop.ready_page() as page:
        assert latencies(page) == []
        await page.ask(show={"latencies": [LASER]})
        await page.until(lambda: len(latencies(page)) >= 2)
        latest = latencies(page)[-1]
        assert latest["machine"] == LASER
        parts = {part["part"]: part for part in latest["parts"]}
        assert len(parts) == 6
        assert float(parts["LATENCY_PART_NETWORK"]["latest"].rstrip("s")) > 0
        await page.ask(show={})
        page.events.clear()
        await page.ask(ping={})
        await page.until_laser(lambda laser: laser)
        assert latencies(page) == []
        await page.ask(show={"latencies": [LASER]})
        await page.until(lambda: latencies(page))
        assert latencies(page)[0]["past"]


async def test_an_unknown_machine_is_refused_and_others_are_served(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        nowhere = {"host": "nowhere", "portId": "laser"}
        answer = await page.ask(show={"latencies": [nowhere]})
        assert "nowhere" in answer["failure"]["text"]
        assert "failure" not in await page.ask(show={"latencies": [LASER]})
        await page.until(lambda: latencies(page))
        assert page.hosts[HOST]
