"""A camera service that does what a test asks, even what no service should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.base.errors import NotFoundError, UsbshareError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import (
    CameraServiceServicer,
    add_CameraServiceServicer_to_server,
)
from usbshare.rpc.server import bind, make_server
from usbshare.rpc.tls import server_credentials
from usbshare.trust.site import Site

# 16 x 16 grey pixels, whole.
TINY_JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "10" * 64 + "ffc0000b0800100010010111"
    "00ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b5100002010303"
    "020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f0"
    "24336272820910161718191a25262728292a3435363738393a434445464748494a535455565758595a6364"
    "65666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9"
    "faffda0008010100003f00fc7effd9"
)
CAMERA = pb.Camera(id="bed", name="The bed", source="fake", state=pb.CAMERA_STATE_LIVE, viewers=1)


class FakeViewer:
    """One living Watch stream, as the service sees it."""

    def __init__(self, opened: pb.Open) -> None:
        self.open = opened
        self.acknowledged: list[int] = []
        self.is_over = False
        self._answers: asyncio.Queue[pb.WatchResponse | UsbshareError | None] = asyncio.Queue()

    def send(self, response: pb.WatchResponse) -> None:
        """Send anything."""
        self._answers.put_nowait(response)

    def send_frame(self, sequence: int, data: bytes = TINY_JPEG, **more: Any) -> None:
        """Send a picture; `more` is what differs from a plain one."""
        self.send(frame(sequence, data, **more))

    def camera_is(self, state: pb.CameraState.ValueType, reason: str = "") -> None:
        """Report that the camera changed."""
        camera = pb.Camera()
        camera.CopyFrom(CAMERA)
        camera.state, camera.state_reason = state, reason
        self.send(pb.WatchResponse(state_changed=pb.StateChanged(camera=camera)))

    def end(self, error: UsbshareError | None = None) -> None:
        """End the stream, in peace or with an error."""
        self._answers.put_nowait(error)

    async def answers(self) -> AsyncIterator[pb.WatchResponse]:
        """Yield what the test sends; raises what it ends with."""
        while True:
            answer = await self._answers.get()
            if answer is None:
                return
            if isinstance(answer, UsbshareError):
                raise answer
            yield answer


@dataclass(slots=True)
class FakeCameras(CameraServiceServicer):
    """The service; `clock_ahead_s` is how far the host's clock is ahead of ours."""

    viewers: list[FakeViewer] = field(default_factory=list)
    snapshots: list[pb.SnapshotRequest] = field(default_factory=list)
    clock_ahead_s: float = 0.0
    opened: pb.WatchResponse | None = None
    snapshot: pb.Frame | UsbshareError | None = None
    stats: pb.CameraStats | None = None

    @property
    def viewer(self) -> FakeViewer | None:
        """The newest living stream."""
        return next((each for each in reversed(self.viewers) if not each.is_over), None)

    async def ListCameras(self, request: Any, context: Any) -> pb.ListCamerasResponse:
        return pb.ListCamerasResponse(cameras=[CAMERA])

    async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.WatchResponse]:
        first = await anext(request_iterator)
        if first.open.camera_id not in {"", CAMERA.id}:
            raise NotFoundError(f"there is no camera {first.open.camera_id!r}: there is bed")
        viewer = FakeViewer(first.open)
        self.viewers.append(viewer)
        taking = asyncio.create_task(_take(request_iterator, viewer))
        try:
            yield self.opened or pb.WatchResponse(opened=pb.Opened(camera=CAMERA, window=2))
            async for answer in viewer.answers():
                yield answer
        finally:
            viewer.is_over = True
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def Snapshot(self, request: Any, context: Any) -> pb.SnapshotResponse:
        self.snapshots.append(request)
        if isinstance(self.snapshot, UsbshareError):
            raise self.snapshot
        return pb.SnapshotResponse(frame=self.snapshot or frame(1).frame)

    async def GetControls(self, request: Any, context: Any) -> pb.GetControlsResponse:
        return pb.GetControlsResponse()

    async def SetControls(self, request: Any, context: Any) -> pb.SetControlsResponse:
        return pb.SetControlsResponse()

    async def WatchStats(self, request: Any, context: Any) -> AsyncIterator[pb.WatchStatsResponse]:
        cameras = [self.stats] if self.stats else []
        now = timestamp(time.time() + self.clock_ahead_s)
        yield pb.WatchStatsResponse(time=now, cameras=cameras)
        await asyncio.Event().wait()


async def _take(requests: Any, viewer: FakeViewer) -> None:
    async for request in requests:
        if request.WhichOneof("message") == "acknowledge":
            viewer.acknowledged.append(request.acknowledge.sequence)


@asynccontextmanager
async def camera_service(
    site: Site | None = None, fake: FakeCameras | None = None, port: int = 0
) -> AsyncIterator[tuple[FakeCameras, int]]:
    """Run a fake on loopback, in plaintext without a site; yields it and its port."""
    fake = fake or FakeCameras()
    server = make_server()
    add_CameraServiceServicer_to_server(fake, server)
    credentials = None if site is None else server_credentials(site)
    bound = bind(server, f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        yield fake, bound
    finally:
        await server.stop(None)


def frame(
    sequence: int,
    data: bytes = TINY_JPEG,
    *,
    captured_s: float | None = None,
    encoding: pb.Format.ValueType = pb.FORMAT_JPEG,
    size: tuple[int, int] = (16, 16),
    is_placeholder: bool = False,
    is_key: bool = True,
    send_s: float = 0.003,
    dropped: int = 0,
    fps: float = 30.0,
) -> pb.WatchResponse:
    """Return a picture and its delivery."""
    captured_s = time.time() if captured_s is None else captured_s
    picture = pb.Frame(
        sequence=sequence,
        capture_time=timestamp(captured_s),
        capture_monotonic_ns=round(captured_s * 1e9),
        width_px=size[0],
        height_px=size[1],
        format=encoding,
        is_key=is_key,
        is_placeholder=is_placeholder,
        data=data,
        wait_delay=duration(send_s / 3),
        encode_delay=duration(send_s / 3),
    )
    delivery = pb.Delivery(send_delay=duration(send_s), dropped_frames=dropped, fps=fps)
    return pb.WatchResponse(frame=picture, delivery=delivery)


def timestamp(unix_s: float) -> Timestamp:
    return Timestamp(seconds=int(unix_s), nanos=int(unix_s % 1 * 1e9))


def duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
