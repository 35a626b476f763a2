"""The camera's picture in a real Chromium, from a real camera service over mTLS."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")

from playwright.async_api import Browser, Page

from fakes.cameras import FakeCamera, decoded, noisy_jpeg
from fakes.certificates import make_site
from fakes.panel_pictures import Hosts, picture_server
from fakes.processes import Process, camera_service, environment
from fakes.served_camera import ServedCamera, served_camera
from fakes.video_decoders import BROKEN_DECODER, HOLDING_DECODER, SLOW_DECODER
from usbshare.camera_svc.sim.bed import read_stamp
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

DEADLINE_MS = 60000
MOST_WRONG_MS = 500  # half of the quickest round trip on a machine that does much else
STATS = "picture.stats"
HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
NO_WEBCODECS = "delete window.VideoDecoder"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """camera-svc with its simulated bed, as a process."""
    home = tmp_path_factory.mktemp("home")
    with camera_service(home) as (_, target):
        yield parse_target(target), ClientBundle.load(home / "config/usbshare/client.pem")


@asynccontextmanager
async def shown(
    browser: Browser, target: Target, bundle: ClientBundle | None, *, before: str = ""
) -> AsyncIterator[Page]:
    """Show a host's picture; `before` runs before the page's own script."""
    context = await browser.new_context(viewport={"width": 760, "height": 560})
    page = await context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    if before:
        await page.add_init_script(before)
    try:
        async with picture_server(Hosts(bench=(target, bundle))) as url:
            await page.goto(f"{url}?host=bench")
            yield page
            assert errors == []
    finally:
        await context.close()


async def holds(page: Page, condition: str) -> None:
    """Wait until this is so of `stats`."""
    await is_true(page, f"(({{stats}}) => {condition})(picture)")


async def is_true(page: Page, script: str) -> None:
    """Wait for it; `wait_for_function` needs eval, which the policy forbids."""

    async def holds_now() -> bool:
        return bool(await page.evaluate(script))

    await until_true(holds_now)


async def pixels(page: Page, name: str, folder: Path) -> Any:
    path = folder / f"{name}.png"
    await page.screenshot(path=path)
    return decoded(await page.locator("canvas").screenshot(type="jpeg", quality=95))


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_MS / 1000):
        while not await condition():  # noqa: ASYNC110  # asked from outside
            await asyncio.sleep(0.05)


async def viewers(target: Target, bundle: ClientBundle) -> int:
    client = Hosts(it=(target, bundle)).client("it")
    try:
        return (await client.list_cameras())[0].viewers
    finally:
        await client.close()


@pytest.mark.parametrize(("before", "encoding"), [("", "h264"), (NO_WEBCODECS, "jpeg")])
async def test_the_picture_is_shown_with_its_age(
    browser: Browser, service: Any, before: str, encoding: str, tmp_path: Path
) -> None:
    if encoding == "h264":
        pytest.importorskip("av", reason="PyAV is not installed: pip install 'usbshare[h264]'")
    async with shown(browser, *service, before=before) as page:
        await holds(page, "stats.frames > 20 && stats.state === 'live'")
        stats = await page.evaluate(STATS)
        assert stats["format"] == encoding
        true_ms = stats["drawnUnixMs"] - stats["capturedUnixMs"]  # one computer, one clock
        assert abs(stats["ageMs"] - true_ms) < MOST_WRONG_MS
        number, _ = read_stamp(await pixels(page, encoding, tmp_path))
        assert number > 0
        await holds(page, f"stats.sequence > {number + 5}")
        later, _ = read_stamp(await pixels(page, encoding, tmp_path))
        assert later > number
        text = await page.locator(".picture-age").inner_text()
        assert re.fullmatch(r"\d+ ms old|\d+\.\d s old", text)
        assert await page.locator(".picture-overlay").is_hidden()
        label = await page.locator("canvas").get_attribute("aria-label")
        assert label is not None
        assert label.startswith("Live picture of ")


async def test_a_hidden_page_costs_no_traffic(browser: Browser, service: Any) -> None:
    async with shown(browser, *service) as page:
        await holds(page, "stats.frames > 3")
        assert await viewers(*service) == 1
        await page.evaluate(HIDE, True)

        async def nobody_watches() -> bool:
            return await viewers(*service) == 0

        await until_true(nobody_watches)
        before = await page.evaluate(STATS)
        assert not before["isConnected"]
        await page.evaluate(HIDE, False)
        await holds(page, f"stats.frames > {before['frames']} && stats.state === 'live'")


async def test_a_slow_decoder_shows_fewer_pictures_and_none_twice_or_late(
    browser: Browser, service: Any
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'usbshare[h264]'")
    async with shown(browser, *service, before=SLOW_DECODER) as page:
        seen: list[int] = []
        for _ in range(6):
            last = seen[-1] if seen else 0
            await holds(page, f"stats.sequence > {last}")
            seen.append((await page.evaluate(STATS))["sequence"])
        assert seen == sorted(set(seen))
        assert await page.evaluate("window.mostQueued") <= 4


async def test_a_decoder_that_holds_pictures_back_does_not_stop_the_stream(
    browser: Browser, service: Any
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'usbshare[h264]'")
    async with shown(browser, *service, before=HOLDING_DECODER) as page:
        await holds(page, "stats.frames > 20 && stats.format === 'h264'")


async def test_a_decoder_that_fails_leaves_jpeg(browser: Browser, service: Any) -> None:
    async with shown(browser, *service, before=BROKEN_DECODER) as page:
        await holds(page, "stats.frames > 5 && stats.format === 'jpeg'")


async def test_a_picture_is_saved(browser: Browser, service: Any) -> None:
    async with shown(browser, *service) as page:
        await holds(page, "stats.frames > 3")
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="Save picture").click()
        download = await downloading.value
        assert re.fullmatch(r"\w+-\d{4}-\d\d-\d\dT\d{6}Z\.jpg", download.suggested_filename)
        data = await asyncio.to_thread(Path(await download.path()).read_bytes)
        number, _ = read_stamp(decoded(data))
        assert number > 0


async def test_full_screen_and_back_by_keyboard(browser: Browser, service: Any) -> None:
    async with shown(browser, *service) as page:
        await holds(page, "stats.frames > 3")
        await page.get_by_role("button", name="Full screen").press("Enter")
        await is_true(page, "document.fullscreenElement?.className === 'picture-view'")
        await page.get_by_role("button", name="End full screen").press("Enter")
        await is_true(page, "!document.fullscreenElement")


async def test_a_host_that_dies_is_reported_and_its_picture_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    command = ["camera-svc", "--listen", "127.0.0.1:0"]
    process = await asyncio.to_thread(Process, command, environment(tmp_path))
    try:
        ready = await asyncio.to_thread(process.wait_for, r"ready at (127\.0\.0\.1:\d+)")
        target = parse_target(ready[1])
        bundle = ClientBundle.load(tmp_path / "config/usbshare/client.pem")
        async with shown(browser, target, bundle) as page:
            await holds(page, "stats.frames > 3")
            await asyncio.to_thread(process.stop)
            await holds(page, "stats.state === 'lost'")
            overlay = page.locator(".picture-overlay")
            await overlay.wait_for(state="visible")
            assert "does not answer" in await overlay.inner_text()
            frames = (await page.evaluate(STATS))["frames"]
            await page.screenshot(path=tmp_path / "lost.png")
            command = ["camera-svc", "--listen", str(target)]
            process = await asyncio.to_thread(Process, command, environment(tmp_path))
            await holds(page, f"stats.frames > {frames} && stats.state === 'live'")
            await overlay.wait_for(state="hidden")
    finally:
        await asyncio.to_thread(process.stop)


@pytest.fixture
async def unpluggable(tmp_path: Path) -> AsyncIterator[tuple[FakeCamera, ServedCamera]]:
    camera = FakeCamera(noisy_jpeg())
    async with served_camera(make_site(tmp_path), camera.make) as served:
        yield camera, served
        camera.go_on()


@pytest.mark.parametrize("before", ["", NO_WEBCODECS], ids=["h264", "jpeg"])
async def test_a_lost_camera_shows_the_placeholder_and_comes_back(
    browser: Browser, unpluggable: tuple[FakeCamera, ServedCamera], before: str, tmp_path: Path
) -> None:
    camera, served = unpluggable
    async with shown(browser, served.target, served.bundle, before=before) as page:
        await holds(page, "stats.frames > 3 && stats.state === 'live'")
        camera.unplug()
        await holds(page, "stats.state === 'no_picture'")
        overlay = page.locator(".picture-overlay")
        await overlay.wait_for(state="visible")
        await page.locator(".picture-overlay-quiet").wait_for()
        assert "plugged" in await overlay.inner_text()
        await page.screenshot(path=tmp_path / "placeholder.png")
        frames = (await page.evaluate(STATS))["frames"]
        camera.plug_in()
        await holds(page, f"stats.frames > {frames} && stats.state === 'live'")
        await overlay.wait_for(state="hidden")


async def test_an_unmounted_picture_is_watched_no_longer(browser: Browser, service: Any) -> None:
    async with shown(browser, *service) as page:
        await holds(page, "stats.frames > 3")
        await page.evaluate("picture.unmount()")

        async def nobody_watches() -> bool:
            return await viewers(*service) == 0

        await until_true(nobody_watches)
        assert await page.locator("figure").count() == 0
