"""The pictures over HTTP, as browsers, VLC, OBS, LightBurn and OctoPrint-like hosts read them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from usbshare.base.http_access import Access
from usbshare.bridge.camera.overview import iso_time
from usbshare.client.camera import multipart
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.camera.view import Newest, Picture

# Addresses are relative and keep the query, which may carry the token.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>usbshare camera</title>
<style>
  html, body { margin: 0; height: 100%; background: #202020; color: #ddd;
    font: 14px/1.6 system-ui, sans-serif }
  body { display: flex; flex-direction: column }
  #picture { flex: 1; min-height: 0; width: 100%; object-fit: contain }
  #state { padding: 0 .6em; white-space: pre; overflow: hidden }
</style>
<img id="picture" alt="the camera's picture">
<div id="state" role="status">connecting</div>
<script>
  const query = location.search, picture = document.getElementById('picture');
  const line = document.getElementById('state');
  const show = () => { picture.src = 'stream' + query; };
  picture.onerror = () => setTimeout(show, 1000);
  show();
  let failed = false;
  async function tell() {
    try {
      const reply = await fetch('state' + query, { cache: 'no-store' });
      if (!reply.ok) throw new Error(await reply.text());
      const now = await reply.json(), age = now.age_ms;
      line.textContent = [now.camera.name || now.camera.id, now.state + (now.reason ? ': ' +
        now.reason : ''), `${now.width_px} x ${now.height_px}`, `${now.fps.toFixed(1)} fps`,
        age && now.state === 'live' ? `age ${age.now.toFixed(0)} ms` : '',
        `${(now.bytes_per_s / 1e6).toFixed(2)} MB/s`].filter(Boolean).join('  ·  ');
      if (failed) show();  // a browser does not open an ended stream again by itself
      failed = false;
    } catch (error) {
      failed = true;
      line.textContent = 'the bridge does not answer: ' + error.message;
    }
    setTimeout(tell, 1000);
  }
  tell();
</script>
"""


log = logging.getLogger(__name__)

MOST_STREAMS = 64
STUCK_S = 20.0
FIRST_PICTURE_S = 2.5
_END_S = 0.2
_IDLE_S = 60.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Referrer-Policy": "no-referrer",  # the address may carry the token
    "X-Content-Type-Options": "nosniff",
}


class Web:
    """An HTTP server; each of its readers gets the newest picture at its own pace."""

    def __init__(
        self,
        newest: Newest,
        measures: Measures,
        state: Callable[[], dict[str, Any]],
        access: Access,
        clock: Callable[[], float],
    ) -> None:
        self.streams = 0
        self._newest = newest
        self._measures = measures
        self._state = state
        self._access = access
        self._clock = clock
        self._runner: web.AppRunner | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve at a listening socket, which is closed at the end."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/stream", self._stream, allow_head=False)
        app.router.add_get("/snapshot.jpg", self._snapshot)
        app.router.add_get("/state", self._state_page)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_END_S, keepalive_timeout=_IDLE_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def close(self) -> None:
        """Hang up on all programs."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        why = self._access.why_refused(
            _named_host(request),
            request.query.get("token", ""),
            request.headers.get(hdrs.AUTHORIZATION, ""),
        )
        if why:
            return web.Response(status=403, text=f"{why}\n", headers=_HEADERS)
        return await handler(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        # As mjpg-streamer, whose addresses many programs know, answers `/?action=stream_0`.
        action = request.query.get("action", "").partition("_")[0]
        if action == "snapshot":
            return await self._snapshot(request)
        if action == "stream":
            if request.method == hdrs.METH_HEAD:
                raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET])
            return await self._stream(request)
        return web.Response(text=PAGE, content_type="text/html", headers=_HEADERS)

    async def _state_page(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.json_response({**self._state(), "http_streams": self.streams}, headers=_HEADERS)

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        del request
        try:
            async with asyncio.timeout(FIRST_PICTURE_S):
                picture = await self._newest.after(0)
        except TimeoutError:
            return web.Response(status=503, text="no picture yet\n", headers=_HEADERS)
        status = 503 if picture.frame.is_placeholder else 200
        return web.Response(
            status=status,
            body=picture.frame.data,
            content_type="image/jpeg",
            headers={**_HEADERS, **self._timing(picture)},
        )

    def _timing(self, picture: Picture) -> dict[str, str]:
        frame = picture.frame
        if frame.is_placeholder:
            return {hdrs.RETRY_AFTER: "1"}
        return {
            hdrs.LAST_MODIFIED: formatdate(frame.captured_s, usegmt=True),
            "X-Usbshare-Age-Ms": f"{picture.age_s(self._clock()) * 1e3:.1f}",
            "X-Usbshare-Capture-Time": iso_time(frame),
            "X-Usbshare-Sequence": str(frame.sequence),
        }

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.streams >= MOST_STREAMS:
            text = f"{MOST_STREAMS} programs are already watching\n"
            return web.Response(status=503, text=text, headers=_HEADERS)
        self.streams += 1
        try:
            return await self._send_pictures(request)
        finally:
            self.streams -= 1

    async def _send_pictures(self, request: web.Request) -> web.StreamResponse:
        response = _EndlessResponse(headers={**_HEADERS, hdrs.CONTENT_TYPE: multipart.CONTENT_TYPE})
        response.force_close()
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=0)  # a picture is written or replaced
        await response.prepare(request)
        early = multipart.wants_early_header(request.headers.get(hdrs.USER_AGENT, ""))
        with suppress(ConnectionError, TimeoutError):
            await _write(response, multipart.opening(early_header=early))
            await self._send_newest(response, early_header=early)
        if request.transport is not None:
            request.transport.abort()  # what a stuck program has not taken, it shall not wait for
        return response

    async def _send_newest(self, response: web.StreamResponse, *, early_header: bool) -> None:
        seen = 0
        while True:
            picture = await self._newest.after(seen)
            if seen:
                self._measures.http_skipped(picture.number - seen - 1)
            seen = picture.number
            await _write(response, multipart.part(picture, early_header=early_header))


def _named_host(request: web.Request) -> str | None:
    """Return the host that a request names; None where HTTP/1.0, which need not, names none."""
    is_old = request.version < HttpVersion11
    return request.headers.get(hdrs.HOST, None if is_old else "")


class _EndlessResponse(web.StreamResponse):
    """A response without chunks: plain cameras send none, and simple readers expect none."""

    _length_check = False


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STUCK_S):
        await response.write(data)
