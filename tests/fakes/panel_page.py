"""The panel's page in a real Chromium: as a mouse, a finger and a keyboard use it.

Loading the page's many files costs most of what a test of it costs, so pages share what the browser
keeps of them. A tab costs as much as a test: it shows one page after the other. A page begins
without anything that another one has stored, and has a tab of its own where something stays in it:
a script that runs before the page's own, or a session with the browser's developer tools. A test
releases the keys that it presses.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Error,
    Page,
    async_playwright,
)

from fakes.chromium import EXECUTABLE, FLAGS
from fakes.waiting import until

DEADLINE_MS = 20_000
WIDE = (1280, 900)
PHONE = (360, 740)
_DEADLINE_S = 30.0
_WITHOUT_TOUCH, _WITH_TOUCH = 0, 1
# A tab has a session of its own.
_FORGET = """
if (location.protocol.startsWith("http") && !sessionStorage.getItem("has begun")) {
  localStorage.clear();
  sessionStorage.setItem("has begun", "yes");
}
"""
_spare_tabs: WeakKeyDictionary[BrowserContext, list[Page]] = WeakKeyDictionary()
_marked: WeakSet[Page] = WeakSet()  # not to be used by another test


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """Run a browser without a window, whose pages share one context, or one with a touch screen."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=EXECUTABLE, args=["--no-sandbox", *flags]
        )
        try:
            for has_touch in (False, True):
                await browser.new_context(has_touch=has_touch, service_workers="block")
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def chromium_of_its_own(home: Path) -> AsyncIterator[tuple[Browser, int]]:
    """Run a browser whose process group is ours to freeze; yields it and the group."""
    assert EXECUTABLE is not None
    profile = home / "chromium"
    process = subprocess.Popen(  # noqa: ASYNC220 - its group is ended below
        [EXECUTABLE, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    told = profile / "DevToolsActivePort"
    try:
        await until(lambda: told.exists() and "\n" in told.read_text())
        port = int(told.read_text().splitlines()[0])
        async with async_playwright() as driver:
            yield await driver.chromium.connect_over_cdp(f"http://127.0.0.1:{port}"), process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_DEADLINE_S)


@asynccontextmanager
async def panel_page(
    browser: Browser,
    url: str,
    size: tuple[int, int] = WIDE,
    *,
    theme: str = "light",
    before: str = "",
    context: BrowserContext | None = None,
) -> AsyncIterator[Page]:
    """Show the panel; `before` runs before its own scripts. An error of a script fails the test."""
    context = context or browser.contexts[_WITH_TOUCH if size[0] < 600 else _WITHOUT_TOUCH]
    errors: list[str] = []
    async with _tab(context, errors, before) as page:
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_default_timeout(DEADLINE_MS)
        await page.goto(url)
        yield page
    assert errors == [], errors


@asynccontextmanager
async def _tab(context: BrowserContext, errors: list[str], before: str) -> AsyncIterator[Page]:
    """Lend an empty tab; notes what fails in it."""
    spare = _spare_tabs.setdefault(context, [])
    page = None if before or not spare else spare.pop()
    if page is None:
        page = await context.new_page()
        await page.add_init_script(_FORGET)
        if before:
            await page.add_init_script(before)
            _marked.add(page)

    def note_error(error: Error) -> None:
        errors.append(str(error))

    def note_violation(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            errors.append(message.text)

    page.on("pageerror", note_error)
    page.on("console", note_violation)
    try:
        yield page
        if page not in _marked:
            with suppress(Error):  # it is closed, or shows that there is nothing at its address
                await page.mouse.up()
                await page.evaluate("localStorage.clear(); sessionStorage.clear()")
                await page.goto("about:blank")
                spare.append(page)
    finally:
        if page in spare:
            page.remove_listener("pageerror", note_error)
            page.remove_listener("console", note_violation)
        else:
            await page.close()
        await context.clear_permissions()


@asynccontextmanager
async def page_with_worker(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Show the panel where its service worker runs, and what it keeps is kept from other pages."""
    context = await browser.new_context()
    try:
        async with panel_page(browser, url, context=context) as page:
            yield page
    finally:
        await context.close()


@dataclass
class Finger:
    """One finger on a touch screen."""

    session: CDPSession

    async def down(self, x: float, y: float) -> None:
        await self._touch("touchStart", x, y)

    async def move(self, x: float, y: float) -> None:
        await self._touch("touchMove", x, y)

    async def up(self) -> None:
        await self._touch("touchEnd")

    async def cancel(self) -> None:
        """What a system does that takes a touch for a gesture of its own."""
        await self._touch("touchCancel")

    async def _touch(self, kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        await self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


async def finger(page: Page) -> Finger:
    """Return a finger on this page."""
    return Finger(await developer_tools(page))


async def developer_tools(page: Page) -> CDPSession:
    """Return a session with the browser's developer tools for a page."""
    _marked.add(page)
    return await page.context.new_cdp_session(page)


async def middle(page: Page, selector: str) -> tuple[float, float]:
    """Return the middle of an element."""
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
