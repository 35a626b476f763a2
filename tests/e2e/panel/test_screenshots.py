"""The pictures of docs/panel.md, taken of a real panel beside real services.

Each test checks that the page shows what its picture is to show. With USBSHARE_SCREENSHOTS=1 the
pictures are written to docs/images as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("cv2")  # the simulated bed's pictures

from PIL import Image
from playwright.async_api import Browser, FilePayload, Page, expect

from fakes.gcode_program import rosette
from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import PHONE, WIDE, panel_page
from fakes.processes import Process, free_port

DOCS = Path(__file__).parents[3] / "docs"
IMAGES = DOCS / "images"
PICTURES = {
    "panel-hosts",
    "panel-machine",
    "panel-held",
    "panel-phone",
    "panel-jobs",
    "panel-ports",
    "panel-access",
}
COLOURS = 128
LONG_MS = 60_000
LASER = f"{HOST}/laser"
PORTS = """
[ports.laser]
source = "sim://grbl"
profile = "grbl"
description = "40 W diode laser"
[ports.plotter]
source = "sim://grbl"
profile = "grbl"
description = "pen plotter"
"""
CAMERA = '[cameras.bed]\nsource = "sim://bed?width=640&height=360&fps=10"\n'
EXECUTED = re.compile(r"[1-9]\d* executed")
COASTER = FilePayload(name="coaster.nc", mimeType="text/plain", buffer=rosette(400))


@pytest.fixture(scope="module")
async def shop(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PanelHost]:
    """Run a host with a laser, a camera and a job that runs, and a panel."""
    home = tmp_path_factory.mktemp("shop")
    port = free_port()
    (home / "camera.toml").write_text(f'[tls]\nenrolment = ""\n{CAMERA}')
    async with panel_host(home, more=f"camera = {port}\n", ports=PORTS) as running:
        words = ["camera-svc", "--config", str(home / "camera.toml")]
        camera = Process([*words, "--listen", f"127.0.0.1:{port}"], running.host.environment)
        try:
            camera.wait_for("ready at")
            async with shown(browser, running, f"jobs/{LASER}") as page:
                await _start(page)
            yield running
        finally:
            camera.stop()


async def _start(page: Page) -> None:
    """Have a file checked, queue it twice, and start the first."""
    for place in (1, 2):
        await expect(page.locator("#job-file")).to_be_enabled(timeout=LONG_MS)
        await page.set_input_files("#job-file", files=[COASTER])
        await page.get_by_role("button", name="Add to the queue").click()
        await expect(page.get_by_text(f"{place}. coaster.nc")).to_be_visible(timeout=LONG_MS)
    await page.get_by_role("button", name="Start …").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("X 40.0 to 200.0", timeout=LONG_MS)
    await dialog.get_by_role("button", name="Start now").click()
    now = page.get_by_role("region", name="Now")
    await expect(now).to_contain_text(EXECUTED, timeout=LONG_MS)


@asynccontextmanager
async def shown(
    browser: Browser,
    shop: PanelHost,
    name: str,
    size: tuple[int, int] = WIDE,
    theme: str = "light",
) -> AsyncIterator[Page]:
    """Show a page of the panel."""
    async with panel_page(browser, f"{shop.origin}/#/{name}", size, theme=theme) as page:
        page.set_default_timeout(LONG_MS)
        await expect(page.locator("#hold")).to_be_enabled(timeout=LONG_MS)
        yield page


async def keep(page: Page, name: str) -> None:
    """Write the picture of a page, if that is asked for."""
    assert name in PICTURES
    if not os.environ.get("USBSHARE_SCREENSHOTS"):
        return
    taken = Image.open(BytesIO(await page.screenshot())).convert("RGB")
    IMAGES.mkdir(exist_ok=True)
    taken.quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)


async def shows_the_bed(page: Page) -> None:
    """Wait for a live picture."""
    await expect(page.get_by_text(re.compile(r"^\d+ ms old$"))).to_be_visible(timeout=LONG_MS)


def test_the_documentation_shows_these_pictures_and_no_others() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert {path.stem for path in IMAGES.glob("*.png")} == PICTURES
    assert set(re.findall(r"\(images/(panel-[a-z]+)\.png\)", pages)) == PICTURES


async def test_hosts(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, "hosts", (1280, 640)) as page:
        host = page.get_by_role("article").filter(has_text="40 W diode laser")
        for text in ["Connected", "Cameras: bed", "Run", "pen plotter"]:
            await expect(host).to_contain_text(text, timeout=LONG_MS)
        await keep(page, "panel-hosts")


async def test_the_machine_while_a_job_runs(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, f"machine/{LASER}") as page:
        await expect(page.locator(".firmware-state").first).to_have_text("Run")
        await shows_the_bed(page)
        await expect(page.locator("main")).to_contain_text("coaster.nc")
        await keep(page, "panel-machine")


async def test_a_phone_in_the_dark(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, f"machine/{LASER}", PHONE, "dark") as page:
        await shows_the_bed(page)
        await expect(page.locator("#emergency")).to_be_in_viewport()
        await keep(page, "panel-phone")


async def test_jobs(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, f"jobs/{LASER}") as page:
        now = page.get_by_role("region", name="Now")
        await expect(now).to_contain_text(EXECUTED, timeout=LONG_MS)
        preview = now.get_by_role("img", name="Preview of the job")
        await expect(preview).to_be_visible(timeout=LONG_MS)
        await expect(page.get_by_text("Drawing …")).to_have_count(0, timeout=LONG_MS)
        await expect(page.get_by_role("region", name="Queue")).to_contain_text("coaster.nc")
        await keep(page, "panel-jobs")


async def test_virtual_ports(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, "ports") as page:
        machine = page.get_by_role("combobox", name="Machine", exact=True)
        await machine.select_option(label=f"{HOST} / plotter")
        await page.get_by_role("radio", name="TCP").check()
        await page.get_by_role("button", name="Start", exact=True).click()
        ready = page.get_by_text(re.compile(r"^Ready: tcp://127\.0\.0\.1:\d+"))
        await expect(ready).to_be_visible(timeout=LONG_MS)
        await page.get_by_text("Where to enter it").click()
        await expect(page.locator("main")).to_contain_text("Ethernet/TCP")
        await keep(page, "panel-ports")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await expect(page.get_by_text("No virtual port yet")).to_be_visible(timeout=LONG_MS)


async def test_who_may_do_what(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, f"access/{HOST}") as page:
        identities = page.get_by_role("region", name="Computers of this site")
        await expect(identities).to_contain_text("operator", timeout=LONG_MS)
        log = page.get_by_role("region", name="Audit log")
        await expect(log.get_by_role("row").nth(1)).to_be_visible(timeout=LONG_MS)
        await keep(page, "panel-access")


async def test_a_held_job(browser: Browser, shop: PanelHost) -> None:
    async with shown(browser, shop, f"machine/{LASER}") as page:
        await page.get_by_role("button", name="HOLD", exact=True).click()
        said = page.locator("#stop-bar [role=status]")
        await expect(said).to_contain_text("answered in", timeout=LONG_MS)
        held = page.get_by_text("The machine is held")
        await expect(held).to_be_visible(timeout=LONG_MS)
        state = page.locator(".firmware-state").first
        await expect(state).to_contain_text("Hold", timeout=LONG_MS)
        await shows_the_bed(page)
        await keep(page, "panel-held")
        await page.get_by_role("button", name="Resume", exact=True).first.click()
        await expect(state).to_have_text("Run", timeout=LONG_MS)
