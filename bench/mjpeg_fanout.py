"""The plain peer: the same pictures as MJPEG over HTTPS, and nothing else.

One thread draws and encodes, each viewer gets the newest part, joined once for all. No window, no
rates, no sizes, no states. Viewers need a certificate of the site, as with ours.
`python -m bench.mjpeg_fanout HTTPS_PORT SITE SOURCE`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
import time
from pathlib import Path

from aiohttp import web

from usbshare.base.event_loop import run, settle_garbage
from usbshare.camera_svc.picture.encode import encode_on_one_thread_each
from usbshare.camera_svc.sim.source import SimSource
from usbshare.camera_svc.sim.url import parse_sim_url

BOUNDARY = "frame"


class Camera:
    """Draws while somebody watches; `part` is the newest picture with its head."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._has_viewers = threading.Event()
        self.part = b""
        self.viewers = 0
        threading.Thread(target=self._draw, daemon=True).start()

    def join(self) -> None:
        """Draw, from the first one on."""
        self.viewers += 1
        self._has_viewers.set()

    def leave(self) -> None:
        """Draw no more after the last one."""
        self.viewers -= 1
        if not self.viewers:
            self._has_viewers.clear()

    async def next_part(self) -> bytes:
        """Return the next picture."""
        await self._news.wait()
        return self.part

    def _draw(self) -> None:
        source = SimSource(parse_sim_url(self._url))
        source.open()
        while self._has_viewers.wait():
            captured = source.read()
            assert captured.jpeg is not None
            assert captured.monotonic_ns is not None
            wall_s = time.time() - (time.monotonic_ns() - captured.monotonic_ns) / 1e9
            head = (
                f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                f"Content-Length: {len(captured.jpeg)}\r\nX-Capture-Time: {wall_s:.6f}\r\n\r\n"
            )
            self._loop.call_soon_threadsafe(self._show, head.encode() + captured.jpeg)

    def _show(self, part: bytes) -> None:
        self.part = part
        self._news.set()
        self._news = asyncio.Event()


async def serve(port: int, folder: Path, url: str) -> None:
    """Serve until killed."""
    camera = Camera(url)

    async def stream(request: web.Request) -> web.StreamResponse:
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        camera.join()
        try:
            while True:
                await response.write(await camera.next_part())
        finally:
            camera.leave()

    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "site/ca.crt"))
    trust.verify_mode = ssl.CERT_REQUIRED
    trust.load_cert_chain(folder / "site/server.crt", folder / "site/server.key")
    app = web.Application()
    app.router.add_get("/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=trust).start()
    settle_garbage()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    encode_on_one_thread_each()
    run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
