"""A headless Chromium that a test looks through, over its DevTools protocol.

The headless shell is the same engine without the windows of a browser, which cost twice what a page
does. A driver such as playwright is told of each message of a page's sockets; this one of nothing.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import aiohttp

from fakes.waiting import until

WITH_WINDOWS = shutil.which("chromium") or shutil.which("chromium-browser")
EXECUTABLE = shutil.which("chromium-headless-shell") or WITH_WINDOWS
XVFB = shutil.which("Xvfb")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_DEADLINE_S = 60.0
_LOOK_S = 0.02
_MOST_BYTES = 64 * 1024 * 1024


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def open(self, url: str, width: int = 1280, height: int = 760) -> None:
        """Begin to load a page; one that never ends to load is open all the same."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        await self.do("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression, of a promise once it is kept."""
        reply = await self.do(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    async def until(self, script: str) -> Any:
        """Return the value of an expression once it is true."""
        async with asyncio.timeout(_DEADLINE_S):
            while not (value := await self.evaluate(script)):  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(_LOOK_S)
        return value

    async def mouse(self, kind: str, x: float, y: float) -> None:
        """Press (`mousePressed`) or release (`mouseReleased`) the left button at a point."""
        at = {"x": x, "y": y, "button": "left", "clickCount": 1}
        await self.do("Input.dispatchMouseEvent", type=kind, **at)

    async def screenshot(self) -> bytes:
        """Return what is to be seen, as PNG."""
        reply = await self.do("Page.captureScreenshot", format="png")
        return base64.b64decode(reply["data"])

    async def do(self, method: str, **parameters: Any) -> Any:
        """Give one command and return its result."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_DEADLINE_S):
            while (reply := await self._socket.receive_json()).get("id") != number:
                pass
        assert "error" not in reply, reply
        return reply["result"]


@asynccontextmanager
async def x_display() -> AsyncIterator[str]:
    """Run an X server without a screen; yields its display."""
    assert XVFB is not None
    reader, writer = os.pipe()
    process = subprocess.Popen(  # noqa: ASYNC220 - ended below
        [XVFB, "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
    )
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="ascii") as told:
            yield f":{(await asyncio.to_thread(told.readline)).strip()}"
    finally:
        process.terminate()
        process.wait(_DEADLINE_S)


def _flags(display: str) -> list[str]:
    return [each for each in FLAGS if not (display and each == "--headless")]


class Browser:
    """A browser that runs."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self._sockets = AsyncExitStack()

    async def new_window(self) -> Page:
        """Return the tab of a new window: each window is to be seen, as a tab alone is not."""
        return await self._new(is_window=True)

    async def new_tab(self) -> Page:
        """Return a new tab in front of those of the latest window."""
        return await self._new(is_window=False)

    async def _new(self, *, is_window: bool) -> Page:
        async with self._session.ws_connect(self._address) as socket:
            made = await Page(socket).do(
                "Target.createTarget", url="about:blank", newWindow=is_window
            )
        place = self._address.partition("/devtools/")[0]
        connecting = self._session.ws_connect(
            f"{place}/devtools/page/{made['targetId']}", max_msg_size=_MOST_BYTES
        )
        return Page(await self._sockets.enter_async_context(connecting))

    async def close(self) -> None:
        """Leave all tabs to the browser."""
        await self._sockets.aclose()


@asynccontextmanager
async def chromium(home: Path) -> AsyncIterator[Page]:
    """Run a browser with an empty profile; yields its tab."""
    async with _running(EXECUTABLE, home) as browser:
        yield await browser.new_window()


@asynccontextmanager
async def chromium_windows(home: Path, display: str = "") -> AsyncIterator[Browser]:
    """Run a browser of people with an empty profile, on an X display if one is given."""
    async with _running(WITH_WINDOWS, home, display) as browser:
        yield browser


@asynccontextmanager
async def _running(executable: str | None, home: Path, display: str = "") -> AsyncIterator[Browser]:
    assert executable is not None
    profile = Path(mkdtemp(prefix="chromium-", dir=home))
    process = subprocess.Popen(  # noqa: ASYNC220 - its group is ended below
        [executable, *_flags(display), f"--user-data-dir={profile}", "about:blank"],
        env={**os.environ, "HOME": str(home), "DISPLAY": display},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    told = profile / "DevToolsActivePort"
    try:
        await until(lambda: told.exists() and told.read_text().count("\n") == 1)
        port, path = told.read_text().splitlines()
        async with aiohttp.ClientSession() as session:
            browser = Browser(session, f"ws://127.0.0.1:{port}{path}")
            try:
                yield browser
            finally:
                await browser.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_DEADLINE_S)
