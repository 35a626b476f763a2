"""A file of 2 GB, dropped into the page: refused before it is sent, or sent and then cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from fakes.footprint import footprint, settled_footprint
from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import developer_tools, middle, panel_page
from usbshare.base.threads import in_thread

SIZE = 2 * 1024**3
LONG_MS = 60_000
MOST_GROWTH_KIB = 64 * 1024
MOST_HEAP_BYTES = 64 * 1024**2
LASER = '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n'
MUCH_ROOM = "[files]\nmax_file_bytes = 4_000_000_000\nmax_bytes = 9_000_000_000\n"


@asynccontextmanager
async def jobs_page(
    browser: Browser, home: Path, more: str = ""
) -> AsyncIterator[tuple[PanelHost, Page]]:
    """Show the jobs of the laser."""
    address = f"/#/jobs/{HOST}/laser"
    async with (
        panel_host(home, ports=LASER + more) as shop,
        panel_page(browser, shop.origin + address) as page,
    ):
        page.set_default_timeout(LONG_MS)
        await expect(page.locator("#job-file")).to_be_enabled(timeout=LONG_MS)
        yield shop, page


async def drop_large(page: Page, home: Path) -> None:
    """Drop a file that takes no room on this disk."""
    file = home / "large.nc"
    with file.open("wb") as made:
        made.truncate(SIZE)
    session = await developer_tools(page)
    x, y = await middle(page, ".drop")
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


async def heap_bytes(page: Page) -> int:
    """Return what the page's scripts hold."""
    session = await developer_tools(page)
    return int((await session.send("Runtime.getHeapUsage"))["usedSize"])


async def test_a_file_that_the_host_has_no_room_for_is_refused_in_one_line(
    browser: Browser, tmp_path: Path
) -> None:
    async with jobs_page(browser, tmp_path) as (shop, page):
        before = await in_thread(footprint, shop.panel)
        await drop_large(page, tmp_path)
        said = page.get_by_text("this host accepts at most 256.0 MB per file")
        await expect(said).to_be_visible(timeout=LONG_MS)
        assert "\n" not in await said.inner_text()
        await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
        await expect(page.locator(".drop")).to_be_visible()
        after = await in_thread(settled_footprint, shop.panel, before.descriptors)
        assert after.resident_kib < before.resident_kib + MOST_GROWTH_KIB


async def test_a_large_file_shows_its_progress_and_is_cancelled_without_a_trace(
    browser: Browser, tmp_path: Path
) -> None:
    async with jobs_page(browser, tmp_path, MUCH_ROOM) as (shop, page):
        before = await in_thread(footprint, shop.panel)
        await drop_large(page, tmp_path)
        bar = page.get_by_role("progressbar", name="Sending the file")
        await expect(bar).not_to_have_attribute("aria-valuenow", "0", timeout=LONG_MS)
        assert await heap_bytes(page) < MOST_HEAP_BYTES
        during = await in_thread(footprint, shop.panel)
        assert during.resident_kib < before.resident_kib + MOST_GROWTH_KIB
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await expect(page.get_by_text("Sending large.nc was cancelled.")).to_be_visible()
        await expect(page.locator(".drop")).to_be_visible()
        after = await in_thread(settled_footprint, shop.panel, before.descriptors)
        assert after.descriptors <= before.descriptors
        assert not list(shop.host.folder.rglob("*.part"))
