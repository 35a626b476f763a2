"""A jog lasts as long as somebody holds it, however its page ends. From the simulator's record."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.panel import LASER, Page, PanelHost, panel_host

FEED = 6000.0
JOG = {"machine": LASER, "x": 1, "feed": FEED}
RENEW_S = 0.04
# On a machine that is busy with other tests too; bench/panel measures the 0.15 s that are promised.
CANCEL_S = 1.0


@pytest.fixture
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


async def hold(page: Page, lease: int, **more: Any) -> asyncio.Task[None]:
    """Press, and keep pressing until the task is cancelled; returns once the machine moves."""
    page_jog = {**JOG, "lease": lease, **more}
    number = await page.send(jog=page_jog)

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await page.tell(jog=page_jog)

    renewing = asyncio.create_task(renew())
    try:
        await page.until(lambda: number in page.answers)
        assert "failure" not in page.answers[number], page.answers[number]
        await page.until_laser(lambda laser: laser["report"]["state"] == "Jog")
    except BaseException:
        renewing.cancel()
        raise
    return renewing


def cancels(shop: PanelHost, since: float) -> list[float]:
    """Return when the machine got jog cancels since then."""
    return [at for at, data in shop.host.receptions() if b"\x85" in data and at >= since]


async def until_cancelled(shop: PanelHost, since: float) -> float:
    """Return how long after a moment the machine was told to end its jog."""
    async with asyncio.timeout(10):
        while True:
            if found := cancels(shop, since):
                return found[0] - since
            await asyncio.sleep(0.01)


async def until_ended(page: Page, lease: int) -> str:
    """Return why the page was told that a jog has ended."""

    def found() -> list[dict[str, Any]]:
        told = [each["jogEnded"] for each in page.events if "jogEnded" in each]
        return [each for each in told if each["lease"] == lease]

    ended: list[dict[str, Any]] = await page.until(found)
    return str(ended[0].get("reason", ""))


async def still_at(page: Page) -> float:
    """Return where the machine came to rest."""
    await page.ask(takeControl={"machine": LASER})  # which opens its port
    await page.until_laser(lambda laser: laser.get("report", {}).get("state") == "Idle")
    where: float = page.laser["report"]["machinePosition"][0]
    return where


async def test_released_it_stops_and_the_page_says_so(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        for lease in range(1, 6):
            renewing = await hold(page, lease)
            renewing.cancel()
            released = time.monotonic()
            await page.ask(endJog={"machine": LASER, "lease": lease})
            assert await until_cancelled(shop, released) <= CANCEL_S
            await until_ended(page, lease)
            await still_at(page)
        await page.tell(jog={**JOG, "lease": 5})  # a renewal that comes late
        again = await page.ask(jog={**JOG, "lease": 5})
        assert "press again" in again["failure"]["text"]
        assert await still_at(page) == await still_at(page)


async def test_it_goes_on_while_it_is_held(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        before = await still_at(page)
        renewing = await hold(page, 1)
        await page.until_laser(lambda laser: laser["report"]["machinePosition"][0] - before > 40)
        renewing.cancel()
        await page.ask(endJog={"machine": LASER, "lease": 1})
        await still_at(page)


async def test_a_silent_page_stops_it(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        renewing = await hold(page, 1)
        renewing.cancel()
        silent = time.monotonic()
        assert await until_cancelled(shop, silent) <= CANCEL_S
        assert "silent" in await until_ended(page, 1)


async def test_a_closed_page_stops_it(shop: PanelHost) -> None:
    async with shop.ready_page() as other:
        async with shop.ready_page() as page:
            renewing = await hold(page, 1)
            renewing.cancel()
            closed = time.monotonic()
            await page.socket.close()
        assert await until_cancelled(shop, closed) <= CANCEL_S
        await still_at(other)


async def test_another_direction_is_another_way_without_a_new_press(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await still_at(page)
        renewing = await hold(page, 1)
        renewing.cancel()
        turned = asyncio.create_task(_keep(page, {**JOG, "lease": 1, "x": 0, "y": 1}))
        try:
            await page.until_laser(lambda laser: laser["report"]["machinePosition"][1] > 5)
        finally:
            turned.cancel()
        await page.ask(endJog={"machine": LASER, "lease": 1})
        await still_at(page)


async def _keep(page: Page, jog: dict[str, Any]) -> None:
    while True:
        await page.tell(jog=jog)
        await asyncio.sleep(RENEW_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_where_the_panel_dies_no_more_than_a_piece_moves(
    shop: PanelHost, number: signal.Signals
) -> None:
    async with shop.ready_page() as page:
        renewing = await hold(page, 1)
        await page.until_laser(lambda laser: laser["report"]["machinePosition"][0] > 20)
        shop.panel.process.send_signal(number)
        died = time.monotonic()
        renewing.cancel()
    await asyncio.sleep(1.0)  # longer than the machine may move
    sent = [each for each in shop.host.receptions() if b"$J=" in each[1]]
    after = [each for each in sent if each[0] > died + 0.02]
    assert len(after) <= 1, after
    if number is signal.SIGSTOP:
        shop.panel.process.send_signal(signal.SIGCONT)
