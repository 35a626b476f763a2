"""The page in Chromium, a real panel and host: a file becomes a job that runs, holds and ends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import PHONE, WIDE, panel_page
from fakes.waiting import until

KEPT = Path(__file__).parents[3] / "build" / "panel"
LONG_MS = 60_000


def raster(rows: int) -> FilePayload:
    """Return a file that burns so many rows between X 10 and X 50."""
    lines = ["G21", "G90", "G0 X10 Y0", "M4 S300", "F3000"]
    lines += [f"G1 X{50 - row % 2 * 40} Y{row * 0.2:.1f}" for row in range(rows)]
    text = "\n".join([*lines, "M5", "G0 X0 Y0", "M2", ""])
    return FilePayload(name="raster.nc", mimeType="text/plain", buffer=text.encode())


@asynccontextmanager
async def jobs_page(
    browser: Browser, home: Path, size: tuple[int, int] = WIDE
) -> AsyncIterator[tuple[PanelHost, Page]]:
    """Show the jobs of the laser."""
    address = f"/#/jobs/{HOST}/laser"
    async with panel_host(home) as shop, panel_page(browser, shop.origin + address, size) as page:
        page.set_default_timeout(LONG_MS)
        await expect(page.locator("#job-file")).to_be_enabled(timeout=LONG_MS)
        yield shop, page


async def queued(page: Page, file: FilePayload) -> None:
    """Have a file looked at and queued."""
    await page.set_input_files("#job-file", files=[file])
    add = page.get_by_role("button", name="Add to the queue")
    await expect(add).to_be_visible(timeout=LONG_MS)
    await add.click()
    await expect(page.get_by_text("1. raster.nc")).to_be_visible(timeout=LONG_MS)


async def started(page: Page) -> Locator:
    """Start the job; returns where its progress is shown."""
    await page.get_by_role("button", name="Start …").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("X 10.0 to 50.0", timeout=LONG_MS)
    await dialog.get_by_role("button", name="Start now").click()
    await expect(dialog.get_by_role("alert")).to_be_hidden()
    await expect(dialog).to_have_count(0, timeout=LONG_MS)
    now = page.get_by_role("region", name="Now")
    await expect(now).to_contain_text("running ·", timeout=LONG_MS)
    return now


async def kept(page: Page, name: str) -> None:
    """Keep a picture of the page, for people."""
    KEPT.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=KEPT / f"{name}.png")


async def test_a_job_is_queued_started_held_resumed_and_cancelled(
    browser: Browser, tmp_path: Path
) -> None:
    async with jobs_page(browser, tmp_path) as (shop, page):
        await queued(page, raster(rows=300))
        assert b"G1" not in (shop.host.received() if shop.host.record.exists() else b"")
        now = await started(page)
        await expect(now.get_by_role("img", name="Preview")).to_be_visible()
        await expect(now).to_contain_text(re.compile(r"[1-9]\d* executed"), timeout=LONG_MS)
        await now.get_by_role("button", name="Hold", exact=True).click()
        resume = now.get_by_role("button", name="Resume", exact=True)
        await expect(resume).to_be_visible(timeout=LONG_MS)
        await kept(page, "job-held")
        await resume.click()
        await expect(now).to_contain_text("running ·", timeout=LONG_MS)
        await page.reload()
        await expect(now).to_contain_text("running ·", timeout=LONG_MS)
        await now.get_by_role("button", name="Cancel the job").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Cancel the job").click()
        history = page.get_by_role("region", name="History")
        await expect(history).to_contain_text("cancelled", timeout=LONG_MS)
        await until(lambda: b"\x18" in shop.host.received())


async def test_a_job_is_framed_run_to_its_end_and_found_in_the_history(
    browser: Browser, tmp_path: Path
) -> None:
    async with jobs_page(browser, tmp_path, PHONE) as (shop, page):
        await queued(page, raster(rows=3))
        await page.goto(f"{shop.origin}/#/machine/{HOST}/laser")
        await page.get_by_role("button", name="Frame a job").click()
        frame = page.get_by_role("button", name="Frame", exact=True)
        await frame.click()
        await until(lambda: shop.host.record.exists() and b"X50" in shop.host.received())
        await expect(frame).to_be_enabled(timeout=LONG_MS)  # the machine is where it was
        await page.get_by_role("button", name="Close").click()
        await page.goto(f"{shop.origin}/#/jobs/{HOST}/laser")
        now = await started(page)
        await expect(now).to_be_hidden(timeout=LONG_MS)
        history = page.get_by_role("region", name="History")
        await expect(history).to_contain_text("finished", timeout=LONG_MS)


async def test_a_file_that_is_not_gcode_is_refused_with_a_reason(
    browser: Browser, tmp_path: Path
) -> None:
    async with jobs_page(browser, tmp_path) as (_, page):
        wrong = FilePayload(name="photo.nc", mimeType="image/png", buffer=bytes(range(256)) * 8)
        await page.set_input_files("#job-file", files=[wrong])
        card = page.get_by_role("region", name="New job")
        await expect(card.get_by_role("status").first).to_contain_text("G-code", timeout=LONG_MS)
        await expect(card.get_by_text("Drop a G-code file")).to_be_visible()
