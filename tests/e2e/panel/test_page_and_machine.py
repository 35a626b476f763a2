"""The page in Chromium, a real panel, a real host: what clicks do to a simulated laser."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import chromium_of_its_own, panel_page
from fakes.waiting import until

ANSWER = "#stop-bar [role=status]"
JOG_CANCEL = b"\x85"


@asynccontextmanager
async def laser_page(browser: Browser, home: Path) -> AsyncIterator[tuple[PanelHost, Page]]:
    """Show the laser's page once the panel knows what it may do with it."""
    address = f"/#/machine/{HOST}/laser"
    async with panel_host(home) as shop, panel_page(browser, shop.origin + address) as page:
        await expect(button(page, "Take control")).to_be_enabled()
        yield shop, page


def button(page: Page, name: str) -> Locator:
    """Return a button by its whole name."""
    return page.get_by_role("button", name=name, exact=True)


def so_far(shop: PanelHost) -> bytes:
    """Return what the machine has received; its record begins when it is opened."""
    return shop.host.received() if shop.host.record.exists() else b""


async def received(shop: PanelHost, data: bytes) -> None:
    """Wait until the machine has received some bytes."""
    await until(lambda: data in so_far(shop))


async def state_is(page: Page, state: str) -> None:
    """Wait until the page shows a state of the machine."""
    await expect(page.locator(".firmware-state").first).to_have_text(state)


async def slide(page: Page) -> None:
    """Slide the red button to its end."""
    box = await page.locator("#emergency").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + 20, y)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"], y, steps=4)
    await page.mouse.up()


async def test_hold_and_resume(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        await page.locator("#hold").click()
        await expect(page.locator(ANSWER)).to_contain_text("answered in")
        await received(shop, b"!")
        await button(page, "Resume").click()
        await received(shop, b"~")
        await expect(button(page, "Resume")).to_be_hidden()


async def test_emergency_and_re_arm(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        await slide(page)
        await expect(page.locator(ANSWER)).to_contain_text("until it is re-armed")
        await received(shop, b"\x18")
        await expect(page.get_by_text("Emergency stop by operator")).to_be_visible()
        await button(page, "Re-arm").click()
        await expect(button(page, "Re-arm")).to_be_hidden()


async def test_home_a_step_zero_and_the_console(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        line = page.get_by_label("Line to send")
        await line.fill("$22=1")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("$22=1: ok")).to_be_visible()
        await expect(page.get_by_role("log")).to_contain_text("$22=1")
        await button(page, "Home").click()
        await received(shop, b"$H\n")
        await state_is(page, "Idle")
        await button(page, "X minus").click()
        await received(shop, b"$J=")
        await expect(page.locator(".position").first).to_have_text("-409.000")
        await state_is(page, "Idle")
        await button(page, "Zero all here").click()
        await received(shop, b"G10L20P0")
        await expect(page.locator(".position").first).to_have_text("0.000")
        await button(page, "Release control").click()
        await expect(button(page, "Take control")).to_be_enabled()


def pieces(shop: PanelHost) -> int:
    """Return how many pieces of jogs the machine has received."""
    return so_far(shop).count(b"$J=")


async def cancelled(shop: PanelHost, before: int) -> None:
    """Wait until more jogs have been cancelled than before."""
    await until(lambda: so_far(shop).count(JOG_CANCEL) > before)


async def hold_arrow(page: Page, shop: PanelHost, name: str = "X minus") -> int:
    """Press an arrow until the machine moves; returns how often a jog was cancelled before.

    A busy computer may be late with a renewal: then it is pressed again.
    """
    await page.get_by_role("radio", name="While held").check()
    before, cancels = pieces(shop), 0
    async with asyncio.timeout(60):
        while pieces(shop) < before + 3:
            await page.mouse.up()
            await expect(page.locator("[data-moving]")).to_have_count(0)
            cancels = so_far(shop).count(JOG_CANCEL)
            box = await button(page, name).bounding_box()  # taking control moves it
            assert box is not None
            await page.mouse.move(box["x"] + 20, box["y"] + 20)
            await page.mouse.down()
            while await page.locator("[data-moving]").count() and pieces(shop) < before + 3:
                pass  # each look takes its time
    return cancels


async def test_a_released_jog_is_cancelled(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        cancels = await hold_arrow(page, shop)
        await page.mouse.up()
        await cancelled(shop, cancels)
        await state_is(page, "Idle")
        count = pieces(shop)
        assert pieces(shop) == count


async def close_tab(page: Page) -> None:
    await page.close()


async def reload(page: Page) -> None:
    await page.reload()


@pytest.mark.parametrize("end", [close_tab, reload])
async def test_a_jog_ends_with_its_page(
    browser: Browser, tmp_path: Path, end: Callable[[Page], Awaitable[None]]
) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        cancels = await hold_arrow(page, shop)
        await end(page)
        await cancelled(shop, cancels)
        count = pieces(shop)
        async with shop.ready_page() as watching:
            await watching.until_laser(
                lambda laser: "Idle" in laser["port"].get("machineState", "")
            )
        assert pieces(shop) == count


async def test_a_jog_ends_when_the_browser_freezes(tmp_path: Path) -> None:
    async with (
        chromium_of_its_own(tmp_path) as (browser, group),
        laser_page(browser, tmp_path) as (shop, page),
    ):
        cancels = await hold_arrow(page, shop)
        os.killpg(group, signal.SIGSTOP)
        try:
            await cancelled(shop, cancels)
            count = pieces(shop)
        finally:
            os.killpg(group, signal.SIGCONT)
        await expect(page.locator("[data-moving]")).to_have_count(0)
        assert pieces(shop) == count


async def test_the_stop_bar_says_that_a_host_is_gone(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        assert shop.host.serial is not None
        shop.host.serial.stop(signal.SIGKILL)
        bar = page.locator("#stop-bar")
        await expect(bar).to_contain_text("use the machine's own emergency stop", timeout=30_000)
        await page.locator("#hold").click()
        await expect(page.locator(ANSWER)).to_contain_text("FAILED", timeout=30_000)


async def test_the_page_says_that_the_panel_ended(browser: Browser, tmp_path: Path) -> None:
    async with laser_page(browser, tmp_path) as (shop, page):
        shop.panel.stop()
        await expect(page.locator(ANSWER)).to_contain_text("do not work")
