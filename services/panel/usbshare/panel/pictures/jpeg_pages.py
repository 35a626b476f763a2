"""`GET /stream` (MJPEG) and `GET /snapshot.jpg`, for other programs and for saving a picture."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

from aiohttp import hdrs, web

from usbshare.base.backoff import Backoff
from usbshare.base.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.watched_task import run_until
from usbshare.client.camera import multipart
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import Frame, RemoteCamera, View
from usbshare.client.camera.placeholder import StandIn
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.camera.view import Newest, Viewing
from usbshare.client.connection_limiter import Turns
from usbshare.panel.pictures.cameras import CameraServices
from usbshare.panel.pictures.wish import PictureWish, picture_wish

MOST_STREAMS = 16
STUCK_S = 20.0
_STATUS = {
    InvalidArgumentError: 400,
    PermissionDeniedError: 403,
    NotFoundError: 404,
}


class JpegPages:
    """Serves pictures as JPEG; each stream has a connection of its own to its host."""

    def __init__(
        self,
        cameras: CameraServices,
        client_name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.streams = 0
        self._cameras = cameras
        self._client_name = client_name
        self._clock = clock
        self._stopped = asyncio.Event()

    async def close(self) -> None:
        """End all streams."""
        self._stopped.set()

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        """Return one picture, not older than a second at the host."""
        try:
            wish = picture_wish(request.query)
            client = self._cameras.client(wish.host)
        except UsbshareError as error:
            return _refusal(error)
        try:
            frame = await client.snapshot(wish.camera, View(width=wish.width))
        except UsbshareError as error:
            return _refusal(error)
        finally:
            await client.close()
        return web.Response(body=frame.data, content_type="image/jpeg", headers=_timing(frame))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send pictures as `multipart/x-mixed-replace` until the program disconnects."""
        if self.streams >= MOST_STREAMS:
            text = f"{MOST_STREAMS} programs are already watching\n"
            return web.Response(status=503, text=text)
        try:
            wish = picture_wish(request.query)
            await self._cameras.client(wish.host).close()  # there is such a host
        except UsbshareError as error:
            return _refusal(error)
        self.streams += 1
        try:
            return await self._serve(request, wish)
        finally:
            self.streams -= 1

    async def _serve(self, request: web.Request, wish: PictureWish) -> web.StreamResponse:
        newest = Newest()
        viewing = Viewing(
            lambda: self._cameras.client(wish.host),
            Turns(),
            ViewChoice(wish.camera, View(width=wish.width, fps=wish.fps), self._client_name),
            newest,
            Measures(),
            _Silent(),
            Backoff(random.random),
            self._clock,
        )
        response = _EndlessResponse(headers={hdrs.CONTENT_TYPE: multipart.CONTENT_TYPE})
        try:
            with suppress(ConnectionError, TimeoutError):
                await run_until(
                    self._stopped,
                    viewing=viewing.run(),
                    placeholder=StandIn(viewing, newest, wish.host, self._clock).run(),
                    writing=_send(request, response, viewing, newest),
                )
        except UsbshareError as error:
            if not response.prepared:
                return _refusal(error)
        if request.transport is not None:
            request.transport.abort()  # what a stuck program has not taken, it shall not wait for
        return response


async def _send(
    request: web.Request, response: web.StreamResponse, viewing: Viewing, newest: Newest
) -> None:
    """Begin to answer once there is a view: until then an error can be told."""
    await viewing.stands.wait()
    response.force_close()
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=0)  # a picture is written or replaced
    await response.prepare(request)
    early = multipart.wants_early_header(request.headers.get(hdrs.USER_AGENT, ""))
    await _send_newest(response, newest, early_header=early)


async def _send_newest(response: web.StreamResponse, newest: Newest, *, early_header: bool) -> None:
    await _write(response, multipart.opening(early_header=early_header))
    seen = 0
    while True:
        picture = await newest.after(seen)
        seen = picture.number
        await _write(response, multipart.part(picture, early_header=early_header))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STUCK_S):
        await response.write(data)


def _refusal(error: UsbshareError) -> web.Response:
    return web.Response(status=_STATUS.get(type(error), 503), text=f"{error}\n")


def _timing(frame: Frame) -> dict[str, str]:
    return {
        hdrs.LAST_MODIFIED: formatdate(frame.captured_s, usegmt=True),
        "X-Usbshare-Sequence": str(frame.sequence),
    }


class _EndlessResponse(web.StreamResponse):
    """A response without chunks: plain cameras send none, and simple readers expect none."""

    _length_check = False


class _Silent:
    """Nobody is told what happens to the view: the placeholder says it."""

    def view_stands(self, camera: RemoteCamera) -> None:
        """Say nothing."""

    def view_lost(self, reason: str) -> None:
        """Say nothing."""

    def camera_changed(self, camera: RemoteCamera) -> None:
        """Say nothing."""
