"""The service worker of a real panel: its scope, what it keeps, and what it shows after a kill."""

from __future__ import annotations

import signal
from pathlib import Path

from playwright.async_api import Browser, expect

from fakes.panel import HOST, panel_host
from fakes.panel_page import page_with_worker

LONG_MS = 60_000
KEPT = {
    "/offline.html",
    "/style.css",
    "/modules/theme.js",
    "/modules/offline.js",
    "/icons/icon.svg",
}
CACHED = """async () => {
  const { scope } = await navigator.serviceWorker.ready;
  const paths = [];
  for (const name of await caches.keys())
    for (const { url } of await (await caches.open(name)).keys()) paths.push(new URL(url).pathname);
  return [scope, paths];
}"""


async def test_it_keeps_the_offline_page_alone_and_shows_it_once_the_panel_is_killed(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        panel_host(tmp_path) as shop,
        page_with_worker(browser, f"{shop.origin}/#/machine/{HOST}/laser") as page,
    ):
        await expect(page.locator("#hold")).to_be_enabled(timeout=LONG_MS)
        scope, paths = await page.evaluate(CACHED)
        assert scope == f"{shop.origin}/"
        assert set(paths) == KEPT
        shop.panel.stop(signal.SIGKILL)
        await page.reload()
        await expect(page.locator("h1")).to_have_text("The panel is not running")
        await expect(page.get_by_text("use the machine's own emergency stop")).to_be_visible()
        assert await page.locator("#hold").count() == 0
        others = "fetch('/modules/main.js').then(() => 'kept', () => 'not kept')"
        assert await page.evaluate(others) == "not kept"
