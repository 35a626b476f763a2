"""Who gets anything from the panel: other origins, hosts and tokens get nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from fakes.panel import PanelHost, panel_host

TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop"), ["--token", TOKEN]) as running:
        yield running


async def refused(shop: PanelHost, path: str, headers: dict[str, str]) -> str:
    """Return why a request is refused, and that nothing else comes with it."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(shop.origin + path, headers=headers, allow_redirects=False) as reply,
    ):
        assert reply.status == 403
        assert "Content-Security-Policy" in reply.headers
        return await reply.text()


@pytest.mark.parametrize(
    "path", ["/", "/socket", "/modules/main.js", "/video?host=shop", "/nowhere"]
)
async def test_without_the_token_nothing_is_served(shop: PanelHost, path: str) -> None:
    assert "token" in await refused(shop, path, {})
    assert "token" in await refused(shop, path, {"Authorization": "Bearer wrong"})


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
async def test_another_site_is_refused_even_with_the_token(
    shop: PanelHost, headers: dict[str, str]
) -> None:
    text = await refused(shop, f"/?token={TOKEN}", headers)
    assert "evil.example" in text


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
async def test_a_socket_from_elsewhere_is_not_opened(shop: PanelHost, origin: str | None) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Origin": origin} if origin else {})
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(f"{shop.origin}/socket", headers=headers)
    assert error.value.status == 403


async def test_the_token_moves_from_the_address_into_a_cookie(shop: PanelHost) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of IP addresses too
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        async with http.get(f"{shop.origin}/?token={TOKEN}", allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (303, "/")
            cookie = reply.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        headers = {"Origin": shop.origin}
        async with http.ws_connect(f"{shop.origin}/socket", headers=headers) as socket:
            assert (await socket.receive_json())["snapshot"]
        async with http.get(f"{shop.origin}/../../etc/passwd") as reply:
            assert reply.status == 404
        for name in ("..%2f..%2fserver.py", "%00", "a" * 5000, "modules", "%2e%2e/server.py"):
            async with http.get(f"{shop.origin}/{name}") as reply:
                assert reply.status == 404
