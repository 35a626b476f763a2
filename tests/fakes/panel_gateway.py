"""A gateway that a test drives: it serves the page's real files and says what the test wants.

Each frame of the page is read as `usbshare.page.v1.Request`; one that is none fails the test.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from aiohttp import WSMsgType, web
from google.protobuf import json_format

from fakes.processes import free_port
from usbshare.page.v1 import page_pb2

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_ASSETS = Path(str(files("usbshare.panel") / "assets"))

Answering = Callable[[page_pb2.Request], page_pb2.Answer | None]
Heard = tuple[float, page_pb2.Request]


class FakeGateway:
    """What a page is told, and all that it said, each with the time of its arrival.

    `answers` has a function for the name of an action; actions without one are done without a word.
    One that returns None is never answered.
    """

    def __init__(self, snapshot: page_pb2.Snapshot | None = None) -> None:
        self.snapshot = snapshot or page_pb2.Snapshot()
        self.answers: dict[str, Answering] = {
            "ping": lambda _: page_pb2.Answer(alive=page_pb2.Alive())
        }
        self.heard: list[Heard] = []
        self.uploads: list[tuple[dict[str, str], bytes]] = []
        self.preview: dict[str, object] = {"box": [0, 0, 1, 1], "is_cut": False, "segments": []}
        self.errors: list[str] = []
        self.is_refusing = False
        self.is_frozen = False
        self.url = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen where all gateways of this process do: browsers keep the files of an origin."""
        app = web.Application(middlewares=[_with_policy], client_max_size=1 << 24)
        app.router.add_get("/socket", self._serve)
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/preview", self._preview)
        app.router.add_get("/", self._index)
        app.router.add_static("/", _ASSETS)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", _port()).start()
        self.url = f"http://127.0.0.1:{_port()}/"

    async def stop(self) -> None:
        """End, as a program that was ended."""
        await self.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def drop(self) -> None:
        """Close every connection."""
        for socket in list(self._sockets):
            await socket.close()

    async def send(self, **event: object) -> None:
        """Send an event to every page."""
        text = json_format.MessageToJson(page_pb2.Event(**event), indent=None)  # type: ignore[arg-type]
        for socket in list(self._sockets):
            await socket.send_str(text)

    async def change(self, machine: page_pb2.Machine) -> None:
        """Send a machine as it is now, also to pages that come later."""
        for known in self.snapshot.machines:
            if known.key == machine.key:
                known.CopyFrom(machine)
        await self.send(machine_changed=machine)

    def requests(self, action: str) -> list[Heard]:
        """Return what came of one kind, in order."""
        return [each for each in self.heard if each[1].WhichOneof("action") == action]

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(_ASSETS / "index.html")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.is_refusing:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._say(socket, page_pb2.Event(snapshot=self.snapshot))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(socket, message.data)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _hear(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            request = json_format.Parse(text, page_pb2.Request())
        except json_format.ParseError as error:
            self.errors.append(f"{error}: {text}")
            return
        self.heard.append((time.monotonic(), request))
        if not request.id or self.is_frozen:
            return
        answering = self.answers.get(request.WhichOneof("action") or "", _done)
        answer = answering(request)
        if answer is not None:
            answer.request_id = request.id
            await self._say(socket, page_pb2.Event(answer=answer))

    async def _say(self, socket: web.WebSocketResponse, event: page_pb2.Event) -> None:
        await socket.send_str(json_format.MessageToJson(event, indent=None))

    async def _upload(self, request: web.Request) -> web.Response:
        data = await request.read()
        if request.headers.get("X-Usbshare") != "1":
            raise web.HTTPForbidden
        self.uploads.append((dict(request.query), data))
        number = int(request.query["progress"])
        progress = page_pb2.Progress(request_id=number, done=len(data), total=len(data))
        await self.send(progress=progress)
        digest = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        lines = data.count(b"\n")
        return web.json_response(
            {"sha256": digest, "sizeBytes": str(len(data)), "lines": str(lines)}
        )

    async def _preview(self, _: web.Request) -> web.Response:
        return web.json_response(self.preview)


def _done(_: page_pb2.Request) -> page_pb2.Answer:
    return page_pb2.Answer()


@asynccontextmanager
async def fake_gateway(snapshot: page_pb2.Snapshot | None = None) -> AsyncIterator[FakeGateway]:
    """Run one; afterwards everything that pages said must have been understood."""
    gateway = FakeGateway(snapshot)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
    assert gateway.errors == []


@cache
def _port() -> int:
    return free_port()


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _with_policy(request: web.Request, handler: _Handler) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers["Content-Security-Policy"] = POLICY
        is_file = isinstance(response, web.FileResponse) and request.path not in ("/", "/sw.js")
        response.headers["Cache-Control"] = "max-age=3600" if is_file else "no-cache"
    return response
