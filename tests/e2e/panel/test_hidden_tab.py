"""A tab behind another one costs no pictures: by the bytes that pass the panel on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("cv2")

from fakes.chromium import WITH_WINDOWS, XVFB, chromium_windows, x_display
from fakes.network import Network
from fakes.panel import HOST, PanelHost, panel_host
from fakes.processes import camera_service

pytestmark = [
    pytest.mark.quiet,  # a browser's windows cost twice what a page does
    pytest.mark.skipif(WITH_WINDOWS is None or XVFB is None, reason="chromium or Xvfb is missing"),
]
LOOK_S = 2.0
# A picture of the simulated bed as JPEG; as H.264 a second of it has more.
PICTURE_BYTES = 10_000
IS_LIVE = "document.querySelector('.picture-view')?.dataset.state === 'live'"
IS_ALONE = "document.querySelector('.picture-view')?.dataset.state !== 'live' && document.hidden"


@asynccontextmanager
async def network(target: str) -> AsyncIterator[Network]:
    made = Network(target)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def shop(home: Path) -> AsyncIterator[tuple[PanelHost, Network, Network]]:
    """Run a panel with a camera; yields what lies between them, and before the panel."""
    with camera_service(home) as (_, target):
        async with network(target) as inner:
            camera = f"camera = {inner.target.rpartition(':')[2]}\n"
            async with (
                panel_host(home, more=camera) as running,
                network(running.origin.removeprefix("http://")) as outer,
            ):
                yield running, inner, outer


async def passed_bytes(*networks: Network) -> list[int]:
    """Return how many bytes come through each to its client while one looks."""
    before = [each.down.passed_bytes for each in networks]
    await asyncio.sleep(LOOK_S)
    return [each.down.passed_bytes - had for each, had in zip(networks, before, strict=True)]


async def test_a_tab_behind_another_gets_no_pictures_until_it_is_in_front(tmp_path: Path) -> None:
    async with (
        shop(tmp_path) as (_, inner, outer),
        x_display() as display,
        chromium_windows(tmp_path, display) as browser,
    ):
        page = await browser.new_window()
        await page.do("Page.navigate", url=f"http://{outer.target}/#/machine/{HOST}/laser")
        await page.until(IS_LIVE)
        assert min(await passed_bytes(inner, outer)) > PICTURE_BYTES

        await browser.new_tab()
        await page.until(IS_ALONE)
        await passed_bytes(inner, outer)  # what was under way
        assert max(await passed_bytes(inner, outer)) < PICTURE_BYTES

        await page.do("Page.bringToFront")
        await page.until(IS_LIVE)
        assert min(await passed_bytes(inner, outer)) > PICTURE_BYTES
