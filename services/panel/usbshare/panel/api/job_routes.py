"""Uploads and previews over HTTP, so that neither delays a stop on the socket."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from aiohttp import web

from usbshare.base.errors import InvalidArgumentError, LimitError, UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.client.jobs.messages import RemoteFile
from usbshare.client.jobs.upload import Uploader
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.failures import failure
from usbshare.panel.api.job_calls import JobCalls
from usbshare.panel.api.job_requests import calls_of
from usbshare.panel.api.json_text import text
from usbshare.panel.board import Board
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.jobs.spooled_file import short_name, spooled

# A page of another site cannot send it without a preflight request, which is refused.
HEADER = "X-Usbshare"
PIECE_BYTES = 64 * 1024
TOLD_BYTES = 1024 * 1024
MOST_UPLOADS = 4
MOST_UINT32 = 2**32 - 1
# How soon an upload ends whose page has cancelled it, though its host takes nothing.
LOOK_S = 0.25
_CANCELLED = "the page cancelled the upload"
_FORMATS = {
    "json": (job_pb2.PREVIEW_FORMAT_JSON, "application/json"),
    "png": (job_pb2.PREVIEW_FORMAT_PNG, "image/png"),
}


T = TypeVar("T")


class JobRoutes:
    """`/upload` and `/preview`."""

    def __init__(self, fleet: Fleet, board: Board) -> None:
        self._fleet = fleet
        self._board = board
        self._uploads = 0

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application, whose middlewares guard them."""
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/preview", self._preview, allow_head=False)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if HEADER not in request.headers:
            return _failed(InvalidArgumentError(f"the header {HEADER} is missing"))
        if self._uploads >= MOST_UPLOADS:
            return _failed(LimitError(f"{MOST_UPLOADS} files are already being sent"))
        self._uploads += 1
        try:
            stored = await _while_connected(request, self._sent(request))
        except UsbshareError as error:
            return _failed(error)
        finally:
            self._uploads -= 1
        message = job_pb2.File(
            sha256=bytes.fromhex(stored.sha256), size_bytes=stored.size_bytes, lines=stored.lines
        )
        return web.Response(text=text(message), content_type="application/json")

    async def _sent(self, request: web.Request) -> RemoteFile:
        host, name = request.query.get("host", ""), request.query.get("name", "program")
        place = calls_of(self._fleet, host)  # or the error that says why there is no job service
        size = request.content_length
        if size is None:
            raise InvalidArgumentError("the header Content-Length is missing")
        told = self._progress(_number(request.query.get("progress", "0")))

        def tell(done: int) -> None:
            """Count each byte twice: here, and at the host."""
            told(done, 2 * size)

        # A connection of its own, so that no answer about a job waits for pieces of a file.
        calls = JobCalls(place.target, self._fleet.bundle)
        try:
            await calls.require_room(short_name(name), size)  # before it arrives
            async with spooled(name, size, _pieces(request, tell)) as kept:
                uploader = Uploader(calls, kept, lambda done: tell(size + done), lambda _: None)
                return await uploader.send()
        finally:
            await calls.close()

    def _progress(self, number: int) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if number:
                told = pb.Progress(request_id=number, done=done, total=total)
                frame = text(pb.Event(progress=told))
                self._board.tell_all(("progress", str(number)), frame)

        return tell

    async def _preview(self, request: web.Request) -> web.StreamResponse:
        try:
            asked, kind = _preview_request(request)
            calls = calls_of(self._fleet, request.query.get("host", ""))
            data = bytearray()
            async with aclosing(calls.preview(asked)) as pieces:
                async for piece in pieces:
                    data += piece
        except UsbshareError as error:
            return _failed(error)
        return web.Response(body=bytes(data), content_type=kind)


async def _while_connected(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; raises UsbshareError once the page has gone."""
    working = asyncio.create_task(work, name="upload")
    try:
        while not (await asyncio.wait((working,), timeout=LOOK_S))[0]:
            if request.transport is None or request.transport.is_closing():
                raise UsbshareError(_CANCELLED)
        return working.result()
    finally:
        await cancel_all(working)


def _preview_request(request: web.Request) -> tuple[job_pb2.GetPreviewRequest, str]:
    query = request.query
    form = _FORMATS.get(query.get("format", "png"))
    if form is None:
        raise InvalidArgumentError("format must be json or png")
    asked = job_pb2.GetPreviewRequest(
        sha256=_digest(query.get("sha256", "")),
        port_id=query.get("port", ""),
        format=form[0],
        width_px=_number(query.get("width", "0")),
        from_line=_number(query.get("from_line", "0")),
    )
    return asked, form[1]


def _digest(told: str) -> bytes:
    """Read a SHA-256 as JSON has it, in Base64, or in hexadecimal digits."""
    try:
        return bytes.fromhex(told) if len(told) == 64 else base64.b64decode(told, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidArgumentError("sha256 must be a SHA-256 in Base64") from error


def _number(told: str) -> int:
    if not (told.isascii() and told.isdigit() and len(told) <= 10 and int(told) <= MOST_UINT32):
        raise InvalidArgumentError(f"{told!r} is not a number from 0 to {MOST_UINT32}")
    return int(told)


async def _pieces(request: web.Request, tell: Callable[[int], None]) -> AsyncIterator[bytes]:
    done = told = 0
    try:
        async for piece in request.content.iter_chunked(PIECE_BYTES):
            yield piece
            done += len(piece)
            if done - told >= TOLD_BYTES:
                told = done
                tell(done)
    except ConnectionError as error:
        raise UsbshareError(_CANCELLED) from error


def _failed(error: UsbshareError) -> web.Response:
    return web.Response(status=409, text=text(failure(error)), content_type="application/json")
