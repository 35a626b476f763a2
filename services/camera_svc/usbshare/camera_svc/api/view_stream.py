"""One viewer's stream: what is written to it, and what it sends back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import grpc

from usbshare.base.errors import DrainingError, InvalidArgumentError, UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.capture.frame_source import ControlChange
from usbshare.camera_svc.capture.registry import OfferedCamera
from usbshare.camera_svc.viewers.stats import Client, Watcher
from usbshare.camera_svc.viewers.viewer import Viewer
from usbshare.rpc.pump import StreamPump

log = logging.getLogger(__name__)

Read = Callable[[], Coroutine[Any, Any, Any]]
Write = Callable[[bytes], Coroutine[Any, Any, None]]
MOST_CHANGES_AT_ONCE = 4


class Watching:
    """Serves one viewer of a camera, by one stream; the source of what its pump writes.

    A frame is written when its turn comes, not when it was made: until then a newer one may take
    its place. Everything else is small and goes first.
    """

    def __init__(
        self,
        offered: OfferedCamera,
        asked: convert.Asked,
        client: Client,
        write: Write,
        require_control: Callable[[], object],
        controlled: Callable[[tuple[ControlChange, ...]], object],
    ) -> None:
        self._offered = offered
        self._require_control = require_control
        self._controlled = controlled
        self._news: deque[bytes] = deque()
        self._has_another_state = False
        self._opened_at = 0.0
        self._changing: set[asyncio.Task[None]] = set()
        self._pump = StreamPump(self, write, time.monotonic)
        viewer = Viewer(asked.view, time.monotonic, self._pump.nudge, asked.window)
        self._watcher = Watcher(client, viewer, self._camera_changed)

    async def serve(self, read: Read, ending: asyncio.Future[None]) -> None:
        """Serve until the client says no more or leaves, or the service ends."""
        client = self._watcher.client
        self._opened_at = time.monotonic()
        self._news.append(convert.opened_bytes(self._offered, self._watcher.viewer.allowed))
        self._offered.join(self._watcher)
        log.info("camera '%s': %s started watching", self._offered.id, client)
        reading = asyncio.create_task(self._read(read), name=f"read {client.name}")
        try:
            self._pump.nudge()
            await self._first_end(reading, ending)
        finally:
            self._pump.close()
            self._offered.leave(self._watcher)
            log.info("camera '%s': %s stopped watching", self._offered.id, client)
            await cancel_all(reading, *self._changing)

    # What the pump writes.

    def wait_s(self, now: float) -> float | None:
        """Return 0 when there is something to write, None until there is."""
        has_news = self._news or self._has_another_state or self._watcher.viewer.has_waiting
        return 0 if has_news else None

    def take(self, now: float) -> bytes:
        """Return what goes next."""
        if self._news:
            return self._news.popleft()
        if self._has_another_state:
            self._has_another_state = False
            return convert.state_bytes(self._offered)
        return self._take_frame(now)

    def _take_frame(self, now: float) -> bytes:
        viewer, rate = self._watcher.viewer, self._watcher.rate
        dropped = viewer.dropped_since
        taken = viewer.take()
        if taken is None:
            raise LookupError("no frame is waiting")
        picture, message = taken
        rate.sent(now)
        age_s = (time.monotonic_ns() - picture.captured.monotonic_ns) / 1e9
        return message + convert.delivery_bytes(age_s, dropped, rate.fps(now))

    def _camera_changed(self) -> None:
        self._has_another_state = True
        self._pump.nudge()

    # What the client sends.

    async def _read(self, read: Read) -> None:
        while (request := await read()) is not grpc.aio.EOF:
            kind = request.WhichOneof("message")
            if kind == "acknowledge":  # what comes most
                self._acknowledged(request.acknowledge.sequence)
            elif kind == "adjust":
                self._watcher.viewer.adjust(convert.view(request.adjust.view))
                self._offered.camera.fanout.serve((self._watcher.viewer,))
            elif kind == "change_controls":
                self._change_controls(request.change_controls)
            elif kind is not None:
                raise InvalidArgumentError(f"`{kind}` is allowed only as the first message")

    def _acknowledged(self, sequence: int) -> None:
        viewer = self._watcher.viewer
        if sequence == 0:
            viewer.opened_acknowledged(time.monotonic() - self._opened_at)
        elif not viewer.acknowledged(sequence):
            return
        self._offered.camera.fanout.serve((viewer,))

    def _change_controls(self, message: pb.ChangeControls) -> None:
        changes = convert.control_changes(message.changes)
        if len(self._changing) >= MOST_CHANGES_AT_ONCE:
            self._answer_controls("too many changes at once: wait for the answer to each")
            return
        task = asyncio.create_task(self._carry_out(changes), name="change controls")
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)

    async def _carry_out(self, changes: tuple[ControlChange, ...]) -> None:
        try:
            self._require_control()
            await self._offered.camera.change_controls(changes)
            self._controlled(changes)
        except UsbshareError as error:
            self._answer_controls(str(error))
        else:
            self._answer_controls("")

    def _answer_controls(self, message: str) -> None:
        self._news.append(convert.controls_bytes(self._offered.camera.known_controls, message))
        self._pump.nudge()

    async def _first_end(self, reading: asyncio.Task[None], ending: asyncio.Future[None]) -> None:
        ends = (reading, self._pump.ended, ending)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._pump.ended.done():
            raise self._pump.ended.result()
        if reading.done():
            reading.result()
            return
        raise DrainingError("the service is stopping")
