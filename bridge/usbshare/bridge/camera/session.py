"""One view of a camera and all that is made of it here, from start to clean end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from usbshare.base.backoff import Backoff
from usbshare.base.event_loop import on_stop_signals, settle_garbage
from usbshare.base.http_access import Access
from usbshare.base.http_address import HttpAddress
from usbshare.base.threads import begin
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.camera.h264 import H264Decoder
from usbshare.bridge.camera.output import Output, OutputError
from usbshare.bridge.camera.overview import Overview
from usbshare.bridge.camera.web import Web
from usbshare.bridge.enrolment.automatic_renewal import Renewing
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.forwarding.slowness import Slowness
from usbshare.client.camera.client import CameraClient
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import RemoteCamera
from usbshare.client.camera.placeholder import StandIn
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.camera.view import Newest, Viewing
from usbshare.client.connection_limiter import Turns
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

STATS_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class HttpChoice:
    """Where to serve pictures, and to whom."""

    address: HttpAddress
    access: Access


@dataclass(frozen=True, slots=True)
class WatchWish:
    """What to watch and where the pictures go."""

    target: Target
    bundle: ClientBundle | None
    view: ViewChoice
    http: HttpChoice | None
    outputs: Sequence[Output] = ()
    stood: Callable[[str], None] = lambda _: None  # called once, with the camera's id


async def watch(wish: WatchWish, reporter: Reporter, stats: Callable[[Overview], None]) -> None:
    """Watch until SIGINT or SIGTERM; raises why when the first connection fails.

    `stats` is called once per second. A failing output is reported; the last one's failure raises.
    """
    stopping = asyncio.Event()
    on_stop_signals(stopping.set)
    await Watching(wish, reporter, stats).run(stopping)


class Watching:
    """Owns the tasks of one view."""

    def __init__(
        self, wish: WatchWish, reporter: Reporter, stats: Callable[[Overview], None]
    ) -> None:
        self._wish = wish
        self._reporter = reporter
        self._stats = stats
        self._newest = Newest()
        self._measures = Measures()
        self._renewing: Renewing | None = None
        turns = Turns()
        if wish.bundle is not None:
            self._renewing = Renewing(
                wish.bundle, lambda: wish.target, _connects_anew, reporter, turns
            )
        self._viewing = Viewing(
            self._connect,
            turns,
            wish.view,
            self._newest,
            self._measures,
            _Teller(reporter, str(wish.target), wish.stood),
            Backoff(random.random),
            time.monotonic,
            H264Decoder,
        )
        self._overview = Overview(
            str(wish.target), self._viewing, self._newest, self._measures, time.monotonic
        )
        self._outputs: dict[asyncio.Task[None], Output] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until stopped."""
        wish, viewing = self._wish, self._viewing
        listening = wish.http.address.listen() if wish.http else None
        stand_in = StandIn(viewing, self._newest, str(wish.target), time.monotonic)
        tasks = [asyncio.create_task(viewing.run(), name="viewing")]
        stop = asyncio.create_task(stopping.wait(), name="stop")
        server: Web | None = None
        try:
            with Slowness(self._reporter, str(wish.target)).connecting():
                stands = await self._stands(tasks[0], stop)
            if not stands:
                return
            tasks.append(asyncio.create_task(stand_in.run(), name="stand-in"))
            if self._renewing is not None:
                tasks.append(asyncio.create_task(self._renewing.run(), name="renewing"))
            if wish.http and listening:
                server = self._web(wish.http.access)
                await server.start(listening)
                self._tell_ready(wish.http, listening.getsockname()[1])
            self._start_outputs()
            settle_garbage()
            await self._until_stopped(tasks, stop)
        finally:
            if server is not None:
                await server.close()
            elif listening is not None:
                listening.close()
            await cancel_all(*self._outputs, *tasks, stop)
            self._reporter.end()

    def _connect(self) -> CameraClient:
        bundle = self._renewing.bundle if self._renewing is not None else None
        return CameraClient(self._wish.target, bundle)

    def _web(self, access: Access) -> Web:
        return Web(self._newest, self._measures, self._overview.as_dict, access, time.monotonic)

    async def _stands(self, viewing: asyncio.Task[None], stop: asyncio.Task[bool]) -> bool:
        """Wait for the first stream; False when the end came before it."""
        await first_of(viewing, self._viewing.stands, stop)
        if viewing.done():
            viewing.result()
        return not stop.done()

    def _start_outputs(self) -> None:
        for output in self._wish.outputs:
            task = asyncio.create_task(output.run(self._newest), name=output.name)
            self._outputs[task] = output
            self._reporter.event("output", f"started {output.name}", output=output.name)

    async def _until_stopped(
        self, tasks: Sequence[asyncio.Task[None]], stop: asyncio.Task[bool]
    ) -> None:
        while not stop.done():
            await asyncio.wait(
                (*tasks, *self._outputs, stop),
                timeout=STATS_INTERVAL_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in tasks:
                if task.done():
                    task.result()
            self._look_at_outputs()
            self._stats(self._overview)

    def _look_at_outputs(self) -> None:
        for task in [task for task in self._outputs if task.done()]:
            output = self._outputs.pop(task)
            try:
                task.result()
            except OutputError as error:
                if self._wish.http is None and not self._outputs:
                    raise
                self._reporter.event("failed", str(error), output=output.name)

    def _tell_ready(self, http: HttpChoice, port: int) -> None:
        camera, token = self._viewing.camera, http.access.token
        url = http.address.url(port, token)
        name = camera.id if camera else ""
        self._reporter.event("ready", f"ready: camera {name} at {url}", url=url, camera=name)


class _Teller:
    """Reports to a person what happens to the view."""

    def __init__(self, reporter: Reporter, target: str, stood: Callable[[str], None]) -> None:
        self._reporter = reporter
        self._target = target
        self._stood = stood
        self._told: RemoteCamera | None = None

    def view_stands(self, camera: RemoteCamera) -> None:
        if self._told is None:
            begin(self._stood, camera.id)
        text = f"connected to {self._target}: camera {camera.id}"
        self._reporter.event("connected", text, camera=camera.id, target=self._target)
        self.camera_changed(camera)

    def view_lost(self, reason: str) -> None:
        self._reporter.event("waiting", f"{reason}; trying again", reason=reason)

    def camera_changed(self, camera: RemoteCamera) -> None:
        told, self._told = self._told, replace(camera, viewers=0)
        if told != self._told:
            why = f": {camera.reason}" if camera.reason else ""
            text = f"camera {camera.id} is {camera.state.value}{why}"
            state, reason = camera.state.value, camera.reason
            self._reporter.event("camera", text, camera=camera.id, state=state, reason=reason)


async def _connects_anew(_: ClientBundle) -> bool:
    """Leave a stream as it is: it ends with its certificate at the latest, then the next begins."""
    return True
