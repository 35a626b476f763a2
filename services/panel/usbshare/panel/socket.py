"""The WebSocket of one page: its requests in, everything that it is shown out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from usbshare.base.watched_task import cancel_all
from usbshare.panel.board import Board
from usbshare.panel.outbox import Outbox

log = logging.getLogger(__name__)

MOST_FRAME_BYTES = 64 * 1024
# A page whose computer is gone is noticed so soon; a jog has a lease of its own.
HEARTBEAT_S = 5.0
STUCK_S = 20.0
MOST_PAGES = 64
_SMALL_BUFFER = 1


class Page:
    """One page, as requests see it."""

    def __init__(self, outbox: Outbox, *, is_local: bool) -> None:
        self.outbox = outbox
        self.is_local = is_local
        self._is_closed = False
        self._on_closed: list[Callable[[], None]] = []

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call back once the page is gone; at once where it is."""
        if self._is_closed:
            callback()
        else:
            self._on_closed.append(callback)

    def close(self) -> None:
        """Note that the page is gone."""
        self._is_closed = True
        callbacks, self._on_closed = self._on_closed, []
        for callback in callbacks:
            callback()


class Requests(Protocol):
    """What carries out the requests of pages."""

    def received(self, page: Page, frame: str) -> None:
        """Begin a request; never blocks."""


class Sockets:
    """Serves the sockets of all pages."""

    def __init__(self, board: Board, requests: Requests) -> None:
        self._board = board
        self._requests = requests
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request, *, is_local: bool) -> web.StreamResponse:
        """Serve one page until it is gone."""
        if len(self._open) >= MOST_PAGES:
            return web.Response(status=503, text=f"{MOST_PAGES} pages are open already\n")
        # Uncompressed and unbuffered: what waits is better kept where newer things replace it.
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MOST_FRAME_BYTES,
            compress=False,
            writer_limit=_SMALL_BUFFER,
        )
        await socket.prepare(request)
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=_SMALL_BUFFER)
        self._open.add(socket)
        page = Page(self._board.open(is_local=is_local), is_local=is_local)
        try:
            await self._converse(socket, page)
        finally:
            self._open.discard(socket)
            self._board.close(page.outbox)
            page.close()
        return socket

    async def close(self) -> None:
        """Tell all pages that the panel ends."""
        closing = [each.close(code=WSCloseCode.GOING_AWAY) for each in list(self._open)]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _converse(self, socket: web.WebSocketResponse, page: Page) -> None:
        sending = asyncio.create_task(self._send(socket, page.outbox), name="page")
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT or sending.done():
                    break
                self._requests.received(page, str(message.data))
        finally:
            await cancel_all(sending)

    @staticmethod
    async def _send(socket: web.WebSocketResponse, outbox: Outbox) -> None:
        try:
            while True:
                frame = await outbox.next()
                async with asyncio.timeout(STUCK_S):
                    await socket.send_str(frame)
        except (ConnectionError, TimeoutError, RuntimeError) as error:
            log.debug("a page is gone: %s", error)
            await socket.close()
