"""The real camera service over real mTLS, in the test's own process, with viewers of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fakes.gates import gate_of
from fakes.waiting import until
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.camera_svc.api.servicer import SERVICE_NAME, CameraServicer, add_to_server
from usbshare.camera_svc.capture.camera import CameraConfig
from usbshare.camera_svc.capture.frame_source import SourceMaker
from usbshare.camera_svc.capture.registry import OfferedCamera, Registry
from usbshare.camera_svc.service import make_encoding
from usbshare.rpc.channel import Target, open_channel, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.camera.v1.camera_pb2_grpc import CameraServiceAsyncStub

MOST_MESSAGE_BYTES = 16 << 20
NAME = "the bed"


@dataclass
class Screen:
    """A viewer that acknowledges each frame, and remembers the frames that differ and the states.

    Of frames it keeps the newest `most_kept`; `seen` counts them all.
    """

    call: Any
    most_kept: int = 200
    frames: list[pb.Frame] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    states: list[pb.Camera] = field(default_factory=list)
    seen: int = 0
    _reading: asyncio.Task[None] | None = None

    async def open(self, **asked: Any) -> None:
        """Begin to watch."""
        await self.call.write(pb.WatchRequest(open=pb.Open(**asked)))
        self._reading = asyncio.create_task(self._read())

    @property
    def last(self) -> pb.Frame | None:
        """The newest frame."""
        return self.frames[-1] if self.frames else None

    @property
    def is_good(self) -> bool:
        """Whether it shows the camera's picture."""
        return self.last is not None and not self.last.is_placeholder

    @property
    def is_told(self) -> bool:
        """Whether it shows a placeholder."""
        return self.last is not None and self.last.is_placeholder

    async def until_good(self) -> pb.Frame:
        """Return the picture, once it is shown."""
        await until(lambda: self.is_good)
        assert self.last is not None
        return self.last

    async def until_told(self) -> pb.Frame:
        """Return the placeholder, once it is shown."""
        await until(lambda: self.is_told)
        assert self.last is not None
        return self.last

    async def end(self) -> None:
        """Leave."""
        self.call.cancel()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while isinstance(response := await self.call.read(), pb.WatchResponse):
            if response.HasField("frame"):
                await self._take(response.frame)
            elif response.HasField("state_changed"):
                self.states.append(response.state_changed.camera)

    async def _take(self, frame: pb.Frame) -> None:
        self.seen += 1
        self.frames.append(frame)
        self.arrived_s.append(time.monotonic())
        del self.frames[: -self.most_kept], self.arrived_s[: -self.most_kept]
        acknowledge = pb.Acknowledge(sequence=frame.sequence)
        with suppress(asyncio.InvalidStateError):  # the end of the stream, `read` tells
            await self.call.write(pb.WatchRequest(acknowledge=acknowledge))


@dataclass
class ServedCamera:
    """The running service, its one camera and its screens."""

    registry: Registry
    target: Target
    bundle: ClientBundle
    stub: CameraServiceAsyncStub
    screens: list[Screen] = field(default_factory=list)

    @property
    def offered(self) -> OfferedCamera:
        """The camera."""
        return self.registry.get("bed")

    async def screen(self, **asked: Any) -> Screen:
        """Watch, unless asked otherwise without reductions for a machine that is slow just now."""
        asked.setdefault("view", pb.View(is_fixed=True))
        made = Screen(self.stub.Watch())
        await made.open(**asked)
        self.screens.append(made)
        return made


@asynccontextmanager
async def served_camera(
    site: Site, make_source: SourceMaker, source: str = "fake://"
) -> AsyncIterator[ServedCamera]:
    """Serve one camera, `bed`, which is closed as soon as it has no viewers."""
    bundle = ClientBundle.load(site.client_bundle)
    encoding = make_encoding()
    registry = Registry(encoding)
    registry.add(CameraConfig("bed", NAME, source, linger_s=0.0), make_source)
    server = make_server()
    add_to_server(CameraServicer(registry, gate_of(site, "camera-svc")), server)
    await add_standard_services(server, [SERVICE_NAME])
    target = parse_target(f"127.0.0.1:{bind(server, '127.0.0.1:0', server_credentials(site))}")
    await server.start()
    channel = open_channel(target, bundle, most_message_bytes=MOST_MESSAGE_BYTES)
    served = ServedCamera(registry, target, bundle, CameraServiceStub(channel))
    try:
        yield served
    finally:
        await asyncio.gather(*(screen.end() for screen in served.screens))
        await registry.close()
        await channel.close()
        await server.stop(None)
        await asyncio.to_thread(encoding.executor.shutdown)
