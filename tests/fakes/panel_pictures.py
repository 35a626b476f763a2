"""The panel's pictures behind a web server, as its gateway mounts them, and a page with one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path

from aiohttp import web

from usbshare.base.errors import NotFoundError
from usbshare.client.camera.client import CameraClient
from usbshare.panel.pictures.routes import add_pictures
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>picture</title>
<link rel="stylesheet" href="shown.css"></head>
<body><main></main><script type="module" src="shown.js"></script></body></html>
"""
SCRIPT = """
import { mountPicture } from "./assets/modules/picture.js";
const asked = Object.fromEntries(new URLSearchParams(location.search));
window.picture = mountPicture(document.querySelector("main"), asked);
"""
STYLE = "body { margin: 0 } main { width: min(100vw, 700px) }"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hosts:
    """The camera services that there are, by the host's key."""

    def __init__(self, **targets: tuple[Target, ClientBundle | None]) -> None:
        self.targets = targets

    def client(self, host: str) -> CameraClient:
        if host not in self.targets:
            raise NotFoundError(f"there is no host {host!r} with a camera")
        return CameraClient(*self.targets[host])


@asynccontextmanager
async def picture_server(hosts: Hosts) -> AsyncIterator[str]:
    """Serve pictures of these hosts and the page; yields its address."""
    with as_file(files("usbshare.panel") / "assets") as assets:
        app = web.Application(middlewares=[_with_policy])
        app.router.add_get("/", _answer(PAGE, "text/html"))
        app.router.add_get("/shown.js", _answer(SCRIPT, "text/javascript"))
        app.router.add_get("/shown.css", _answer(STYLE, "text/css"))
        app.router.add_static("/assets", Path(assets))
        add_pictures(app, hosts, "panel test")
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}/"
        finally:
            await runner.cleanup()


def _answer(text: str, kind: str) -> _Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind)

    return answer


@web.middleware
async def _with_policy(request: web.Request, handler: _Handler) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers["Content-Security-Policy"] = POLICY
    return response
