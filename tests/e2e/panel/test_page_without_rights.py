"""People who may only look, or see nothing: each page says so, and no script fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import panel_page

LONG_MS = 60_000
MACHINE = f"{HOST}/laser"
NO_CONTROL = "this computer may not control it"
NO_VIEW = "it lacks the right to view"
NO_ADMIN = "it lacks the right to admin"
LOOKS: Mapping[str, str] = {
    "hosts": "Not opened yet",
    f"machine/{MACHINE}": NO_CONTROL,
    f"jobs/{MACHINE}": NO_CONTROL,
    "ports": NO_CONTROL,
    "access": NO_ADMIN,
    "doctor": "Run the checks",
    f"latency/{MACHINE}": "in all",
    "more": "Access and log",
}
SEES_NOTHING: Mapping[str, str] = {
    "hosts": NO_VIEW,
    f"machine/{MACHINE}": NO_VIEW,
    f"jobs/{MACHINE}": NO_VIEW,
    "ports": "There is no machine yet.",
    "access": NO_VIEW,
    "doctor": "Run the checks",
    f"latency/{MACHINE}": NO_VIEW,
    "more": "Access and log",
}


@asynccontextmanager
async def shop(home: Path, grants: str) -> AsyncIterator[PanelHost]:
    """Run a host that gives this computer those rights."""
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "policy.toml").write_text(grants)
    async with panel_host(home) as running:
        yield running


@pytest.mark.parametrize(
    ("who", "says"), [("operator", LOOKS), ("another", SEES_NOTHING)], ids=["looks", "sees nothing"]
)
async def test_each_page_says_what_is_missing_and_no_script_fails(
    browser: Browser, tmp_path: Path, who: str, says: Mapping[str, str]
) -> None:
    grants = f'[[grants]]\nwho = ["{who}"]\nrights = ["view"]\n'
    async with shop(tmp_path, grants) as running, panel_page(browser, running.origin) as page:
        failed = failures(page)
        for address, text in says.items():
            await page.goto(f"{running.origin}/#/{address}")
            said = page.locator("main").get_by_text(text).filter(visible=True).first
            await expect(said).to_be_visible(timeout=LONG_MS)
            assert "\n" not in await said.inner_text(), address
        assert failed == []


def failures(page: Page) -> list[str]:
    """Return the list to which what fails in the browser's console is added."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("console", note)
    return found
