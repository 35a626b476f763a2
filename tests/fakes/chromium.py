"""A headless Chromium that a test looks through, over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from fakes.waiting import until

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser")
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
_DEADLINE_S = 30.0
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
        """Return the value of an expression."""
        reply = await self.do("Runtime.evaluate", expression=script, returnByValue=True)
        return reply["result"].get("value")

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
async def chromium(home: Path) -> AsyncIterator[Page]:
    """Run a browser with an empty profile; yields its tab."""
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
    try:
        async with aiohttp.ClientSession() as session:
            address = await _tab_address(session, profile / "DevToolsActivePort")
            async with session.ws_connect(address, max_msg_size=_MOST_BYTES) as socket:
                yield Page(socket)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_DEADLINE_S)


async def _tab_address(session: aiohttp.ClientSession, told: Path) -> str:
    await until(lambda: told.exists() and "\n" in told.read_text())
    port = int(told.read_text().splitlines()[0])  # noqa: ASYNC240 - one line
    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
        tabs = await reply.json()
    return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
