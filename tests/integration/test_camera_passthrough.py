"""The camera's own JPEG reaches the viewer byte for byte, and nothing is decoded on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fakes.cameras import noisy_jpeg
from fakes.certificates import make_site
from fakes.served_camera import ServedCamera, served_camera
from fakes.waiting import until
from usbshare.base.http_access import Access
from usbshare.base.http_address import HttpAddress
from usbshare.bridge.camera.session import HttpChoice, Watching, WatchWish
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.capture.frame_source import Wish
from usbshare.camera_svc.capture.source_factory import source_maker
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import View

PICTURES = [noisy_jpeg(seed=seed) for seed in range(7)]
BOUNDARY = b"--usbshare-picture\r\n"
TIMEOUT_S = 30.0


@pytest.fixture(params=["bed.mjpeg", "bed"])
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of pictures one after the other, or a folder of them."""
    path = tmp_path / str(request.param)
    if path.suffix:
        path.write_bytes(b"".join(PICTURES))
        return path
    path.mkdir()
    for number, picture in enumerate(PICTURES):
        (path / f"{number}.jpg").write_bytes(picture)
    return path


@pytest.fixture
async def served(tmp_path: Path, recorded: Path) -> AsyncIterator[ServedCamera]:
    make = source_maker(str(recorded), Wish(fps=60))
    async with served_camera(make_site(tmp_path), make, str(recorded)) as made:
        yield made


class Told:
    """A reporter that remembers where the pictures are."""

    def __init__(self) -> None:
        self.url = ""

    def event(self, name: str, text: str, **fields: Any) -> None:
        if name == "ready":
            self.url = fields["url"]

    def status(self, status: object) -> None:
        """Nobody asks."""

    def end(self) -> None:
        """Nothing to leave behind."""


@asynccontextmanager
async def bridge(served: ServedCamera) -> AsyncIterator[str]:
    """Run what `bridge camera` runs; yields its address."""
    told, stopping = Told(), asyncio.Event()
    choice = ViewChoice("bed", View(is_fixed=True), "the test")
    http = HttpChoice(HttpAddress("127.0.0.1", 0), Access(""))
    wish = WatchWish(served.target, served.bundle, choice, http)
    running = asyncio.create_task(Watching(wish, told, lambda _: None).run(stopping))
    try:
        await until(lambda: told.url or running.done())
        yield told.url
    finally:
        stopping.set()
        await asyncio.wait_for(running, TIMEOUT_S)


async def next_picture(reply: aiohttp.ClientResponse) -> bytes:
    """Read one part of the stream."""
    async with asyncio.timeout(TIMEOUT_S):
        lines = (await reply.content.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        return await reply.content.readexactly(int(headers["Content-Length"]))


def follow_each_other(pictures: list[bytes]) -> None:
    """Fail unless they are the source's, in the order of the source."""
    places = [PICTURES.index(picture) for picture in pictures]
    assert len(set(places)) == len(PICTURES)
    steps = [(b - a) % len(PICTURES) for a, b in itertools.pairwise(places)]
    assert steps.count(1) > len(steps) / 2


def counted(served: ServedCamera) -> tuple[int, int, int]:
    counters = served.offered.encoded
    return counters.decoded_frames, counters.encoded_frames, served.offered.captured.bad


async def test_bytes_at_the_viewer_are_those_of_the_source(served: ServedCamera) -> None:
    screens = [await served.screen() for _ in range(3)]
    await until(lambda: all(screen.seen >= 30 for screen in screens))
    for screen in screens:
        follow_each_other([frame.data for frame in screen.frames])
        assert {frame.quality for frame in screen.frames} == {0}
    assert counted(served) == (0, 0, 0)
    passed, captured = served.offered.encoded.passed_frames, served.offered.captured.captured
    assert 30 <= passed <= captured


async def test_a_smaller_view_beside_it_decodes_each_frame_once(served: ServedCamera) -> None:
    whole = await served.screen()
    small = await served.screen(view=pb.View(width_px=160, is_fixed=True))
    worse = await served.screen(view=pb.View(quality=30, is_fixed=True))
    await until(lambda: min(whole.seen, small.seen, worse.seen) >= 10)
    assert {frame.data for frame in whole.frames} <= set(PICTURES)
    decoded, encoded, _ = counted(served)
    assert 10 <= decoded <= served.offered.captured.captured
    assert encoded >= small.seen + worse.seen - 2


async def test_a_snapshot_is_the_cameras_own_jpeg(served: ServedCamera) -> None:
    await (await served.screen()).until_good()
    reply = await served.stub.Snapshot(pb.SnapshotRequest(), timeout=TIMEOUT_S)
    assert reply.frame.data in PICTURES
    assert counted(served) == (0, 0, 0)


async def test_the_stream_over_http_has_the_bytes_of_the_source(served: ServedCamera) -> None:
    async with bridge(served) as url, aiohttp.ClientSession() as http:
        async with http.get(url + "stream") as reply:
            assert await reply.content.readexactly(len(BOUNDARY)) == BOUNDARY
            pictures = [await next_picture(reply) for _ in range(30)]
        async with http.get(url + "snapshot.jpg") as reply:
            assert await reply.read() in PICTURES
    follow_each_other(pictures)
    assert counted(served) == (0, 0, 0)
