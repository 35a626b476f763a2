"""What a person sees in the browser: Chromium shows it, and the test looks at the pixels."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.camera_service import FakeCameras, FakeViewer, camera_service
from fakes.chromium import EXECUTABLE, Page, chromium
from fakes.processes import Process, environment, running
from fakes.waiting import until

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")

from usbshare.camera_svc.picture.jpeg import BadPictureError  # noqa: E402
from usbshare.camera_svc.sim.bed import SimBed, read_stamp  # noqa: E402

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="chromium is not installed")

KEPT = Path(__file__).parents[2] / "build" / "camera"
WIDTH, HEIGHT = 1280, 720
_RATE = 15.0
_OLDEST_MS = 5000  # on a machine that does much else
# Where a picture is on the page, whose box may be larger than the picture in it.
_PICTURE_BOX = """(() => {
  const image = document.querySelector('img');
  if (!image || !image.naturalWidth) return null;
  const box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
  return [box.x + (box.width - width) / 2, box.y + (box.height - height) / 2, width, height];
})()"""


class Bed:
    """Draws the simulated bed for the fake service."""

    def __init__(self) -> None:
        self.frame = 0
        self._bed = SimBed(WIDTH, HEIGHT)

    def send(self, viewer: FakeViewer, fps: float = 30.0) -> int:
        """Send one more picture with the time of now; returns its number."""
        self.frame += 1
        pixels = self._bed.draw(self.frame, time.time_ns() // 1_000_000)
        jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
        viewer.send_frame(self.frame, jpeg, size=(WIDTH, HEIGHT), fps=fps)
        return self.frame


@asynccontextmanager
async def playing(fake: FakeCameras, bed: Bed) -> AsyncIterator[None]:
    """Send pictures all the time."""

    async def play() -> None:
        while True:
            if fake.viewer is not None:
                bed.send(fake.viewer)
            await asyncio.sleep(1 / _RATE)

    task = asyncio.create_task(play(), name="play")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def real_service(home: Path) -> AsyncIterator[int]:
    """Run camera-svc with its simulated bed over mTLS; yields its port."""
    with running(["camera-svc", "--listen", "127.0.0.1:0"], home) as service:
        ready = await asyncio.to_thread(service.wait_for, r"ready at 127\.0\.0\.1:(\d+)")
        yield int(ready[1])


@asynccontextmanager
async def bridge(port: int, home: Path, *arguments: str) -> AsyncIterator[str]:
    """Run `bridge camera` on the service at that port; yields its address."""
    target = ["--target", f"127.0.0.1:{port}", "--http", "127.0.0.1:0"]
    command = ["bridge", "camera", *target, *arguments]
    process = await asyncio.to_thread(Process, command, environment(home))
    try:
        ready = await asyncio.to_thread(process.wait_for, r"ready: camera \S+ at (http\S+)")
        yield ready[1]
    finally:
        await asyncio.to_thread(process.stop)


class Seen:
    """Takes screenshots and keeps the last one of each name."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page = page
        self._folder = folder

    async def stamp(self, name: str) -> tuple[int, int] | None:
        """Return frame number and clock as they are to be seen; None while they are not."""
        box = await self._page.evaluate(_PICTURE_BOX)
        pixels = await self._pixels(name)
        if box is None:
            return None
        x, y, width, height = (round(each) for each in box)
        try:
            return read_stamp(pixels[y : y + height, x : x + width])
        except BadPictureError:
            return None

    async def stamp_after(self, number: int, name: str) -> tuple[int, int]:
        """Return the first stamp of a later frame."""
        stamp: tuple[int, int] | None = None

        async def is_later() -> bool:
            nonlocal stamp
            stamp = await self.stamp(name)
            return stamp is not None and stamp[0] > number

        await until_seen(is_later)
        assert stamp is not None
        return stamp

    async def _pixels(self, name: str) -> Any:
        png = await self._page.screenshot()
        path = self._folder / f"{name}.png"
        await asyncio.to_thread(path.write_bytes, png)
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, KEPT)
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


async def until_seen(is_seen: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again."""
    async with asyncio.timeout(60):
        while not await is_seen():  # noqa: ASYNC110  # a browser tells of no pixels
            await asyncio.sleep(0.05)


async def says(page: Page, text: str) -> bool:
    line = await page.evaluate("document.getElementById('state').textContent")
    return text in str(line)


async def has_no_stamp(seen: Seen) -> bool:
    return await seen.stamp("ended") is None


def assert_fresh(stamp: tuple[int, int]) -> None:
    age_ms = time.time() * 1e3 - stamp[1]
    assert -50 <= age_ms < _OLDEST_MS, f"the picture is {age_ms:.0f} ms old"


@pytest.mark.parametrize("path", ["", "stream"])
async def test_the_live_picture_is_shown(path: str, tmp_path: Path) -> None:
    async with (
        real_service(tmp_path) as port,
        bridge(port, tmp_path) as url,
        chromium(tmp_path) as page,
    ):
        await page.open(url + path)
        seen, name = Seen(page, tmp_path), f"live-{path or 'page'}"
        first = await seen.stamp_after(0, name)
        assert_fresh(first)
        second = await seen.stamp_after(first[0] + 5, name)
        assert_fresh(second)
        assert second[1] > first[1]


async def test_a_snapshot_is_shown_and_a_later_one_is_newer(tmp_path: Path) -> None:
    async with (
        real_service(tmp_path) as port,
        bridge(port, tmp_path) as url,
        chromium(tmp_path) as page,
    ):
        seen, last = Seen(page, tmp_path), 0
        for _ in range(2):
            await page.open(url + "snapshot.jpg")
            stamp = await seen.stamp_after(last, "snapshot")
            assert_fresh(stamp)
            last = stamp[0]


async def test_the_newest_picture_is_shown_before_the_next_one_comes(tmp_path: Path) -> None:
    bed = Bed()
    async with (
        camera_service() as (fake, port),
        bridge(port, tmp_path, "--insecure") as url,
        chromium(tmp_path) as page,
    ):
        await until(lambda: fake.viewer is not None)
        viewer = fake.viewer
        assert viewer is not None
        bed.send(viewer, fps=0.02)  # so seldom that nothing stands in for it
        await page.open(url + "stream")
        seen = Seen(page, tmp_path)
        assert (await seen.stamp_after(0, "alone"))[0] == 1
        bed.send(viewer, fps=0.02)
        assert (await seen.stamp_after(1, "alone"))[0] == 2


async def test_the_page_says_that_the_pictures_ended_and_shows_them_again(tmp_path: Path) -> None:
    bed = Bed()
    async with (
        camera_service() as (fake, port),
        bridge(port, tmp_path, "--insecure") as url,
        chromium(tmp_path) as page,
    ):
        seen = Seen(page, tmp_path)
        await page.open(url)
        async with playing(fake, bed):
            await seen.stamp_after(0, "before")
        await until_seen(lambda: has_no_stamp(seen))
        await until_seen(lambda: says(page, "no picture"))
        await seen.stamp("ended")
        async with playing(fake, bed):
            assert_fresh(await seen.stamp_after(bed.frame, "again"))


async def test_the_page_works_with_a_token(tmp_path: Path) -> None:
    async with (
        real_service(tmp_path) as port,
        bridge(port, tmp_path, "--token", "a-token-of-this-test") as url,
        chromium(tmp_path) as page,
    ):
        assert url.endswith("/?token=a-token-of-this-test")
        await page.open(url)
        assert_fresh(await Seen(page, tmp_path).stamp_after(0, "token"))
        await until_seen(lambda: says(page, "fps"))
