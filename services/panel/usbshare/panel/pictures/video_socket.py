"""`GET /video`: pictures of one camera over a WebSocket of their own."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from usbshare.base.backoff import Backoff
from usbshare.base.errors import InvalidArgumentError, PermissionDeniedError, UsbshareError
from usbshare.base.watched_task import run_until
from usbshare.client.connection_limiter import Turns
from usbshare.panel.pictures.cameras import CameraServices
from usbshare.panel.pictures.outbox import Outbox
from usbshare.panel.pictures.page_view import PageView
from usbshare.panel.pictures.wire import (
    Acknowledged,
    KeyFrameWanted,
    Pinged,
    ViewNews,
    from_page,
    view_message,
)
from usbshare.panel.pictures.wish import PictureWish, picture_wish

log = logging.getLogger(__name__)

MOST_VIEWS = 64
MOST_MESSAGE_BYTES = 1024
HEARTBEAT_S = 5.0
END_TIMEOUT_S = 1.0
REFUSED = 4403  # the socket's close code where trying again is of no use


class VideoSockets:
    """Serves views, each with a connection of its own to its host; ends them all on `close`."""

    def __init__(
        self,
        cameras: CameraServices,
        client_name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cameras = cameras
        self._client_name = client_name
        self._clock = clock
        self._turns: dict[str, Turns] = {}
        self._stopped = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def views(self) -> int:
        """How many pages watch now."""
        return len(self._sockets)

    async def close(self) -> None:
        """End all views."""
        self._stopped.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one view until the page closes; HTTP status 400 or 503 where it cannot."""
        try:
            wish = picture_wish(request.query)
        except InvalidArgumentError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        if self.views >= MOST_VIEWS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_VIEWS} views are open already\n")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MOST_MESSAGE_BYTES,
            timeout=END_TIMEOUT_S,
            compress=False,
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._serve(socket, wish)
        finally:
            self._sockets.discard(socket)
            if not self._sockets:
                self._turns.clear()
        return socket

    async def _serve(self, socket: web.WebSocketResponse, wish: PictureWish) -> None:
        outbox = Outbox(self._clock)
        view = PageView(
            lambda: self._cameras.client(wish.host),
            self._turns.setdefault(wish.host, Turns()),
            wish,
            self._client_name,
            outbox,
            Backoff(random.random),
            self._clock,
            _is_refused,
        )
        try:
            await run_until(
                self._stopped,
                reading=_read(socket, view, outbox),
                writing=_write(socket, outbox),
                viewing=view.run(),
            )
        except InvalidArgumentError as error:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode())
        except UsbshareError as error:
            await _refuse(socket, error)
        except ConnectionError:
            pass  # the page is gone
        finally:
            with suppress(ConnectionError):
                await socket.close(code=WSCloseCode.GOING_AWAY)


def _is_refused(error: UsbshareError) -> bool:
    return isinstance(error, PermissionDeniedError)


async def _refuse(socket: web.WebSocketResponse, error: UsbshareError) -> None:
    with suppress(ConnectionError):
        await socket.send_str(view_message(ViewNews("refused", str(error))))
        await socket.close(code=REFUSED)


async def _write(socket: web.WebSocketResponse, outbox: Outbox) -> None:
    while True:
        message = await outbox.next()
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)


async def _read(socket: web.WebSocketResponse, view: PageView, outbox: Outbox) -> None:
    message: WSMessage
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            raise InvalidArgumentError("messages from the page must be text")
        match from_page(message.data):
            case Acknowledged(sequence):
                await view.acknowledged(sequence)
            case KeyFrameWanted():
                view.wants_key_frame()
            case Pinged(number):
                outbox.pinged(number)
