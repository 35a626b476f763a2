"""H.264 from the real service over mTLS to a real decoder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.camera_service import camera_service
from fakes.cameras import decoded
from fakes.certificates import make_site
from fakes.served_camera import Screen, ServedCamera, served_camera
from fakes.waiting import until
from usbshare.base.backoff import Backoff
from usbshare.bridge.camera.h264 import H264Decoder
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.capture.frame_source import Wish
from usbshare.camera_svc.capture.source_factory import source_maker
from usbshare.camera_svc.sim.bed import read_stamp
from usbshare.client.camera import convert
from usbshare.client.camera.client import CameraClient
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import Format, RemoteCamera, View
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.camera.view import Newest, Viewing
from usbshare.client.connection_limiter import Turns
from usbshare.rpc.channel import Target
from usbshare.trust.site import Site

pytest.importorskip("av", reason="PyAV is not installed: pip install 'usbshare[h264]'")

BED = "sim://bed?width=1280&height=720&fps=30&format=raw"
FRAMES = 300
LEAST_FACTOR = 15
H264 = pb.View(format=pb.FORMAT_H264, quality=80, is_fixed=True)
JPEG = pb.View(format=pb.FORMAT_JPEG, quality=80, is_fixed=True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[ServedCamera]:
    async with served_camera(site, source_maker(BED, Wish())) as made:
        yield made


async def watched(served: ServedCamera, view: pb.View) -> Screen:
    screen = await served.screen(view=view)
    screen.most_kept = 2 * FRAMES
    return screen


async def first_of(call: Any, encoding: pb.Format.ValueType) -> pb.Frame:
    """Return the first frame that comes so, all acknowledged."""
    while isinstance(response := await call.read(), pb.WatchResponse):
        frame = response.frame
        await call.write(pb.WatchRequest(acknowledge=pb.Acknowledge(sequence=frame.sequence)))
        if response.HasField("frame") and frame.format == encoding:
            return frame
    raise AssertionError("the stream ended")


def mean_bytes(screen: Screen) -> float:
    return sum(len(frame.data) for frame in screen.frames) / len(screen.frames)


async def test_a_mostly_still_bed_needs_a_fraction_of_the_bytes(
    served: ServedCamera, capsys: pytest.CaptureFixture[str]
) -> None:
    jpeg = await watched(served, JPEG)
    await until(lambda: len(jpeg.frames) >= 30)
    await jpeg.end()
    video = await watched(served, H264)
    await until(lambda: len(video.frames) >= FRAMES, timeout_s=100)
    factor = mean_bytes(jpeg) / mean_bytes(video)
    with capsys.disabled():
        print(
            f"\n1280x720, 30 fps, mean of {len(video.frames)} frames: JPEG q80 "
            f"{mean_bytes(jpeg):.0f} bytes, H.264 {mean_bytes(video):.0f}: {factor:.1f} times fewer"
        )
    assert {frame.format for frame in video.frames} == {pb.FORMAT_H264}
    assert sum(frame.is_key for frame in video.frames) == 1
    assert factor >= LEAST_FACTOR


async def test_a_decoded_picture_is_the_frame_that_its_number_says(served: ServedCamera) -> None:
    screen = await watched(served, H264)
    await until(lambda: len(screen.frames) >= 60)
    await screen.end()
    decoder = H264Decoder()
    for frame in map(convert.frame, screen.frames):
        drawn, unix_ms = read_stamp(decoded(decoder.decode(frame).data))
        assert drawn == frame.sequence
        assert abs(unix_ms - frame.captured_s * 1000) < 50


async def test_a_later_viewer_can_decode_from_its_first_frame_on(served: ServedCamera) -> None:
    first = await watched(served, H264)
    await until(lambda: len(first.frames) >= 10)
    second = await watched(served, H264)
    await until(lambda: len(second.frames) >= 10)
    await first.end()
    await second.end()
    for screen in (first, second):
        assert screen.frames[0].is_key
        decoder = H264Decoder()
        for frame in map(convert.frame, screen.frames):
            decoder.decode(frame)


async def test_the_format_can_change_on_a_live_stream(served: ServedCamera) -> None:
    call = served.stub.Watch()
    await call.write(pb.WatchRequest(open=pb.Open(view=JPEG)))
    async with asyncio.timeout(30):
        for view in (H264, JPEG, H264):
            await call.write(pb.WatchRequest(adjust=pb.Adjust(view=view)))
            frame = await first_of(call, view.format)
            assert frame.is_key
    call.cancel()


async def test_stats_show_what_a_viewer_gets(served: ServedCamera) -> None:
    screen = await watched(served, H264)
    await until(lambda: screen.is_good)
    call = served.stub.WatchStats(pb.WatchStatsRequest(camera_id="bed"), timeout=30)
    response = await call.read()
    call.cancel()
    assert isinstance(response, pb.WatchStatsResponse)
    assert response.cameras[0].viewers[0].given.format == pb.FORMAT_H264
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_picture_that_the_pc_cannot_decode_begins_another_stream() -> None:
    async with camera_service() as (fake, port):
        newest, listener = Newest(), Listener()
        viewing = Viewing(
            lambda: CameraClient(Target("127.0.0.1", port), None),
            Turns(),
            ViewChoice("", View(format=Format.H264), "test"),
            newest,
            Measures(),
            listener,
            Backoff(lambda: 0.0),
            time.monotonic,
            H264Decoder,
        )
        running = asyncio.create_task(viewing.run())
        await until(lambda: fake.viewer is not None)
        first = fake.viewer
        assert first is not None
        assert first.open.view.format == pb.FORMAT_H264
        first.send_frame(1, b"\0\0\0\1 nothing", encoding=pb.FORMAT_H264)
        await until(lambda: fake.viewer not in {None, first})
        assert listener.lost == ["picture 1 cannot be decoded"]
        assert fake.viewer is not None
        fake.viewer.send_frame(2)  # the service may send JPEG, whatever was asked for
        await until(lambda: newest.picture is not None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Listener:
    def __init__(self) -> None:
        self.lost: list[str] = []

    def view_stands(self, camera: RemoteCamera) -> None:
        pass

    def view_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def camera_changed(self, camera: RemoteCamera) -> None:
        pass
