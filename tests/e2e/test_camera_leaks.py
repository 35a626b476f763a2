"""A thousand viewers that come and go, and a day of frames, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from fakes.camera_crowd import crowd
from fakes.cameras import FakeCamera, jpeg_of
from fakes.certificates import make_site
from fakes.footprint import Footprint, footprint, settled_footprint
from fakes.processes import Process, camera_service
from fakes.served_camera import served_camera
from fakes.waiting import until
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.api.view_stream import Watching
from usbshare.camera_svc.picture.encode import EncodeCounters, Encoder
from usbshare.camera_svc.picture.frame import Raw, Recipe, Stamp
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.viewer import View, Viewer
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.rpc.tls import ClientBundle

TIMEOUT_S = 60.0
ENGINE_WORKERS = 4
WAVE = 50
WAVES = 20
MOST_KIB_PER_VIEWER = 512
GROWTH = 1.05
SPARE_KIB = 4 * 1024
DAY_FRAMES = 24 * 3600 * 30
SHORT_FRAMES = 15_000
SLOW_ACKNOWLEDGES_EVERY = 7
GUEST_EVERY = 75


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """Serve small pictures, for ever, ten a second, to as many as come."""
    policy = tmp_path / "config/usbshare/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text(
        '[[grants]]\nwho = ["operator"]\nrights = ["control", "admin"]\n'
        "[limits]\nconnections = 1000\nstreams = 1000\nrequests_per_s = 10000\n"
    )
    (tmp_path / "bed.mjpeg").write_bytes(jpeg_of(64, 48))
    config = tmp_path / "usbshare.toml"
    config.write_text(
        f'[cameras.bed]\nsource = "{tmp_path}/bed.mjpeg"\nfps = 10\nalways_on = true\n'
    )
    with camera_service(tmp_path, "--config", str(config)) as made:
        yield made


@pytest.mark.cold
async def test_a_thousand_viewers_leave_nothing_behind(
    service: tuple[Process, str], tmp_path: Path
) -> None:
    process, target = service
    watch = Count(target, tmp_path)
    prints: list[Footprint] = []
    try:
        await watch.until(0)
        for _ in range(WAVES // 2):
            with crowd(target, tmp_path) as coming:
                await asyncio.to_thread(coming.come, WAVE)
                await watch.until(WAVE)
                await asyncio.to_thread(coming.leave)
                await watch.until(0)
                prints.append(footprint(process))
                await asyncio.to_thread(coming.come, WAVE)
                await watch.until(WAVE)
                coming.die()
                await watch.until(0)
            prints.append(footprint(process))
    finally:
        await watch.close()
    warm = prints[WAVES // 4]
    last = await asyncio.to_thread(settled_footprint, process, warm.descriptors)
    print(f"{WAVE * WAVES} viewers; after {WAVES // 4 + 1} waves {warm}, after all {last}")
    assert last.descriptors <= warm.descriptors
    assert last.threads <= warm.threads + ENGINE_WORKERS
    assert last.resident_kib <= warm.resident_kib * GROWTH + SPARE_KIB


@pytest.mark.cold
async def test_memory_per_viewer_is_bounded(service: tuple[Process, str], tmp_path: Path) -> None:
    process, target = service
    watch = Count(target, tmp_path)
    try:
        with crowd(target, tmp_path) as coming:
            await asyncio.to_thread(coming.come, WAVE)
            few = footprint(process)
            await asyncio.to_thread(coming.come, 2 * WAVE)
            await watch.until(3 * WAVE)
            many = footprint(process)
        await watch.until(0)
    finally:
        await watch.close()
    each_kib = (many.resident_kib - few.resident_kib) / (2 * WAVE)
    print(f"memory per viewer: {each_kib:.0f} KiB ({few} to {many})")
    assert each_kib < MOST_KIB_PER_VIEWER
    # gRPC's event engine adds workers under load and keeps them: a few, however many viewers come.
    assert many.threads <= few.threads + ENGINE_WORKERS


async def test_no_task_and_no_viewer_object_is_left(tmp_path: Path) -> None:
    camera, site = FakeCamera(jpeg_of(64, 48)), make_site(tmp_path)
    bundle = tmp_path / "config/usbshare/client.pem"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(site.client_bundle.read_bytes())
    async with served_camera(site, camera.make) as served:
        stays = await served.screen()
        await stays.until_good()
        tasks, viewers, streams = len(asyncio.all_tasks()), living(Viewer), living(Watching)
        with crowd(str(served.target), tmp_path) as coming:
            await asyncio.to_thread(coming.come, WAVE)
            assert len(served.offered.watchers) == WAVE + 1
            await asyncio.to_thread(coming.leave)
            await until(lambda: len(served.offered.watchers) == 1)
            await asyncio.to_thread(coming.come, WAVE)
            assert len(served.offered.watchers) == WAVE + 1
            coming.die()
            await until(lambda: len(served.offered.watchers) == 1)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        await until(lambda: living(Viewer) <= viewers)
        await until(lambda: living(Watching) <= streams)
        seen = stays.seen
        await until(lambda: stays.seen > seen)


def living(kind: type) -> int:
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


class Count:
    """How many watch, asked over one connection."""

    def __init__(self, target: str, home: Path) -> None:
        bundle = ClientBundle.load(home / "config/usbshare/client.pem")
        self._channel = open_channel(parse_target(target), bundle)
        self._stub: Any = CameraServiceStub(self._channel)

    async def until(self, count: int) -> None:
        """Return when so many watch."""
        async with asyncio.timeout(TIMEOUT_S):
            while await self._now() != count:  # noqa: ASYNC110  # there is no event of it
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def _now(self) -> int:
        reply = await self._stub.ListCameras(pb.ListCamerasRequest(), timeout=TIMEOUT_S)
        return int(reply.cameras[0].viewers)


class AtOnce(Executor):
    """Makes each picture in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Day:
    """The way of frames from a camera to four kinds of viewers, without a wire."""

    def __init__(self) -> None:
        self.now = 0.0
        self.counters = EncodeCounters()
        encoder = Encoder(self.counters)

        def make(raw: Raw, recipe: Recipe) -> Made:
            picture = encoder.make(raw, recipe)
            return picture, convert.frame_bytes(picture)

        self.fanout = Fanout(make, AtOnce(), lambda call, *args: call(*args), _fail)
        self.viewers = [
            self._viewer(View()),
            self._viewer(View(fps=10)),
            self._viewer(View(), window=1),
            self._viewer(View(is_fixed=True), window=3),  # never acknowledges
        ]
        self._unacknowledged: list[list[int]] = [[] for _ in self.viewers]
        self._jpeg = jpeg_of(16, 16)
        self._sequence = 0

    def run(self, frames: int) -> None:
        """Let so many frames come, and viewers come and go beside those that stay."""
        for _ in range(frames):
            self._sequence += 1
            self.now += 1 / 30
            captured = Stamp(self.now, time.monotonic_ns())
            self.fanout.captured(Raw(self._sequence, captured, 16, 16, jpeg=bytes(self._jpeg)))
            for viewer, waiting in zip(self.viewers, self._unacknowledged, strict=True):
                self._play(viewer, waiting)
            if self._sequence % GUEST_EVERY == 0:
                guest = self._viewer(View())
                guest.take()
                self.fanout.leave(guest)

    def _viewer(self, view: View, window: int = 0) -> Viewer:
        viewer = Viewer(view, lambda: self.now, lambda: None, window)
        self.fanout.join(viewer)
        return viewer

    def _play(self, viewer: Viewer, waiting: list[int]) -> None:
        if (taken := viewer.take()) is not None:
            waiting.append(taken[0].sequence)
        if viewer.view.is_fixed:
            waiting.clear()
        elif waiting and (viewer.window != 1 or self._sequence % SLOW_ACKNOWLEDGES_EVERY == 0):
            viewer.acknowledged(waiting.pop())
            waiting.clear()
            self.fanout.serve((viewer,))


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("frames", [SHORT_FRAMES, pytest.param(DAY_FRAMES, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_a_day_of_frames_leaves_memory_flat(frames: int) -> None:
    day = Day()
    day.run(frames // 10)
    warm = _allocated_after(day, 0)
    began = time.monotonic()
    last = _allocated_after(day, frames - frames // 10)
    print(
        f"{frames} frames at {frames * 0.9 / (time.monotonic() - began):.0f}/s,"
        f" sent {[viewer.counters.sent_frames for viewer in day.viewers]},"
        f" objects {warm} to {last}"
    )
    assert last <= warm + 200
    assert len(day.fanout.viewers) == 4
    counters = [viewer.counters for viewer in day.viewers]
    assert counters[0].sent_frames > 0.99 * frames
    assert abs(counters[1].sent_frames - frames / 3) < 0.02 * frames
    assert counters[3].sent_frames == 3
    for each in counters:
        dropped = each.dropped_window + each.dropped_rate + each.dropped_encoder
        assert abs(each.sent_frames + dropped - frames) <= 5


def _allocated_after(day: Day, frames: int) -> int:
    day.run(frames)
    gc.collect()
    return len(gc.get_objects()) + sys.getallocatedblocks()
