"""Pictures through the real panel: its guard, a real camera service, real certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

pytest.importorskip("cv2")

from fakes.cameras import decoded
from fakes.panel import HOST, PanelHost, panel_host
from fakes.processes import camera_service
from usbshare.camera_svc.sim.bed import read_stamp

TOKEN = "a-token-of-this-test"
VIDEO = f"/video?host={HOST}&formats=jpeg"


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    home = tmp_path_factory.mktemp("shop")
    with camera_service(home) as (_, target):
        camera = f"camera = {target.rpartition(':')[2]}\n"
        async with panel_host(home, ["--token", TOKEN], camera) as running:
            await until_camera(running)
            yield running


async def until_camera(shop: PanelHost) -> None:
    """Wait until the panel follows the camera."""
    async with shop.page(Authorization=f"Bearer {TOKEN}") as page:
        await page.until(lambda: page.cameras)


async def test_a_page_gets_the_picture(shop: PanelHost) -> None:
    headers = {"Origin": shop.origin, "Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(shop.origin + VIDEO, headers=headers) as socket,
        asyncio.timeout(60),
    ):
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                number, _ = read_stamp(decoded(message.data[40:]))
                assert number > 0
                return
    raise AssertionError("the socket ended")


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
async def test_a_video_socket_from_elsewhere_is_not_opened(
    shop: PanelHost, origin: str | None
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Origin": origin} if origin else {})
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(shop.origin + VIDEO, headers=headers)
    assert error.value.status == 403


@pytest.mark.parametrize("path", ["/snapshot.jpg", "/stream"])
async def test_a_program_that_keeps_no_cookies_gets_pictures_by_the_token_in_the_address(
    shop: PanelHost, path: str
) -> None:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        address = f"{shop.origin}{path}?host={HOST}"
        async with http.get(address) as reply:
            assert reply.status == 403
        async with http.get(f"{address}&token={TOKEN}") as reply:
            assert reply.status == 200
            read = b""
            while b"\xff\xd8" not in read:
                more = await reply.content.readany()
                assert more, "the answer ended"
                read += more
            reply.close()
