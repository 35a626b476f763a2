"""The panel's HTTP server: files and socket, for requests that the guard allows."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web

from usbshare.base.addresses import parse_address
from usbshare.panel.connections import Connections
from usbshare.panel.request_guard import HEADERS, Asked, Guard
from usbshare.panel.socket import Sockets

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
# Spelled out: a Windows registry may say something else, and then browsers refuse a module.
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
COOKIE = "usbshare-panel"
COOKIE_S = 30 * 24 * 3600
# Where the token becomes a cookie. Programs that show a picture keep none.
PAGES = frozenset({"/", "/index.html"})
END_S = 0.5
IDLE_S = 60.0
_LONGEST_NAME = 200
_BEARER = "bearer "
_NAME = re.compile(r"[\w./-]{1,200}", re.ASCII)
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PanelServer:
    """Serves until it is closed; `extend` adds routes, which the same guard guards."""

    def __init__(
        self,
        sockets: Sockets,
        guard: Guard,
        extend: Callable[[web.Application], None],
        assets: Path = ASSETS,
    ) -> None:
        self._sockets = sockets
        self._guard = guard
        self._extend = extend
        self._assets = assets.resolve()
        self._cookie = COOKIE
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._connections = Connections()

    async def start(self, listening: socket.socket) -> None:
        """Serve at a listening socket, which is closed at the end."""
        # Cookies do not tell the ports of a host apart: two panels would take each other's.
        self._cookie = f"{COOKIE}-{listening.getsockname()[1]}"
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/socket", self._socket, allow_head=False)
        self._extend(app)
        app.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_quiet(),
            shutdown_timeout=END_S,
            keepalive_timeout=IDLE_S,
        )
        await self._runner.setup()
        if (server := self._runner.server) is None:
            raise RuntimeError("aiohttp has set up no server")
        self._listener = await asyncio.get_running_loop().create_server(
            partial(self._connections.protocol, server), sock=listening
        )

    async def close(self) -> None:
        """Close the connections of all pages."""
        if self._listener is not None:
            self._listener.close()
        await self._sockets.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if why := self._guard.why_refused(self._asked(request)):
            response: web.StreamResponse = web.Response(status=403, text=f"{why}\n")
            response.force_close()
        elif "token" in request.query and request.path in PAGES and request.method in _READING:
            response = self._without_token(request)
        else:
            with self._connections.serving(request.protocol):
                response = await _carried_out(request, handler)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _asked(self, request: web.Request) -> Asked:
        is_socket = request.headers.get(hdrs.UPGRADE, "").casefold() == "websocket"
        return Asked(
            host=request.headers.get(hdrs.HOST),
            origin=request.headers.get(hdrs.ORIGIN),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            fetch_mode=request.headers.get("Sec-Fetch-Mode"),
            token=self._token(request),
            needs_origin=is_socket or request.method not in _READING,
        )

    def _token(self, request: web.Request) -> str:
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        if authorization.casefold().startswith(_BEARER):
            return authorization[len(_BEARER) :].strip()
        return request.query.get("token") or request.cookies.get(self._cookie, "")

    def _without_token(self, request: web.Request) -> web.Response:
        """Keep the token in a cookie, which no script reads, and out of the address."""
        place = request.rel_url.without_query_params("token")
        response = web.Response(status=303, headers={hdrs.LOCATION: str(place)})
        if self._guard.token:
            response.set_cookie(
                self._cookie,
                request.query["token"],
                max_age=COOKIE_S,
                httponly=True,
                samesite="Strict",
                path="/",
            )
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        return await self._sockets.serve(request, is_local=_is_local(request))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        path = self._asset(name)
        kind = None if path is None else TYPES.get(path.suffix)
        if path is None or kind is None:
            raise web.HTTPNotFound(text=f"the panel has no page {name[:_LONGEST_NAME]!r}\n")
        headers = {hdrs.CONTENT_TYPE: kind, hdrs.CACHE_CONTROL: "no-cache"}
        return web.FileResponse(path, headers=headers)

    def _asset(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):
            return None
        path = (self._assets / name).resolve()
        return path if path.is_relative_to(self._assets) and path.is_file() else None


async def _carried_out(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return error
    except web.RequestPayloadError:
        return web.Response(status=400, text="the body of the request does not match its headers\n")
    except ConnectionError:
        raise  # the page is gone
    except Exception:
        log.exception("could not answer %s %.200s", request.method, request.path)
        return web.Response(status=500, text="internal error of the panel: see its log\n")


def _quiet() -> logging.Logger:
    """Return a logger for aiohttp, which reports each request that is none with a traceback."""
    quiet = logging.getLogger(f"{__name__}.aiohttp")
    quiet.setLevel(logging.CRITICAL)
    return quiet


def _is_local(request: web.Request) -> bool:
    address = parse_address(request.remote or "")
    return address is not None and address.is_loopback
