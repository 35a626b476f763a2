"""Who is no page of the panel gets nothing, and keeps no page from a stop. Real panel and host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser

from fakes.footprint import footprint
from fakes.panel import HOST, LASER, PanelHost, panel_host
from fakes.panel_page import chromium

ANSWER_S = 30.0
CROWD = 1000
CLOSED_IN_S = 60.0
EVIL = """<!doctype html><title>evil</title><body><iframe></iframe></body>"""
# Everything that a page of elsewhere can try against an address; what comes back is told.
TRY = """async (panel) => {
  const found = {};
  const tell = async (name, attempt) => {
    try { found[name] = await attempt(); } catch (error) { found[name] = "refused"; }
  };
  const ws = panel.replace("http", "ws");
  const socket = (path) => () => new Promise((done) => {
    const socket = new WebSocket(ws + path);
    socket.onmessage = (message) => done(message.data);
    socket.onclose = () => done("refused");
  });
  const loaded = (tag, path) => () => new Promise((done, failed) => {
    const element = document.createElement(tag);
    element.onload = () => done("loaded");
    element.onerror = failed;
    element.src = panel + path;
    document.body.append(element);
  });
  await tell("fetch", async () => (await fetch(panel + "/")).text());
  await tell("fetch of a picture", async () => (await fetch(panel + "/preview?host=shop")).text());
  await tell("opaque fetch", async () => {
    const reply = await fetch(panel + "/index.html", { mode: "no-cors" });
    return reply.type === "opaque" ? "refused" : "read";
  });
  const post = (headers) => async () => {
    const reply = await fetch(panel + "/upload?host=shop", { method: "POST", body: "G0", headers });
    return reply.text();
  };
  await tell("post", post({}));
  await tell("post with our header", post({ "X-Usbshare": "1" }));
  await tell("socket", socket("/socket"));
  await tell("video", socket("/video?host=shop"));
  await tell("image", loaded("img", "/icons/icon-192.png"));
  await tell("script", loaded("script", "/modules/theme.js"));
  await tell("worker", async () => { new SharedWorker(panel + "/sw.js"); return "made"; });
  return found;
}"""


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


async def lives(shop: PanelHost) -> None:
    """See that a page's stop is answered, and that the panel's log has no traceback."""
    async with shop.ready_page() as page:
        held = await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_HOLD"})
        response = held["stop"]["response"]
        seen = {"epoch": response["epoch"], "holdNumber": response["holdNumber"]}
        resume = {"machine": LASER, "action": "STOP_ACTION_RESUME", **seen}
        assert "stop" in await page.ask(stop=resume)
    assert "Traceback" not in shop.panel.output, shop.panel.output
    assert shop.panel.process.poll() is None


def port_of(shop: PanelHost) -> int:
    """Return where the panel listens."""
    return int(shop.origin.rpartition(":")[2])


async def raw(shop: PanelHost, request: str, *, own_host: bool = True) -> tuple[int, bytes]:
    """Send bytes; return the status and all that is said until the panel hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(shop))
    if own_host:
        first, _, rest = request.partition("\r\n")
        request = f"{first}\r\nHost: 127.0.0.1:{port_of(shop)}\r\nConnection: close\r\n{rest}\r\n"
    writer.write(request.encode("latin-1"))
    async with asyncio.timeout(ANSWER_S):
        told = await reader.read()
    writer.close()
    return int(told.split(b" ", 2)[1]), told.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /../../../../etc/passwd HTTP/1.1", 404),
        ("GET /%2e%2e/%2e%2e/guard.py HTTP/1.1", 404),
        ("GET /..%2fserver.py HTTP/1.1", 404),
        ("GET //etc/passwd.txt HTTP/1.1", 404),
        ("GET /a%00b.js HTTP/1.1", 404),
        (f"GET /{'a' * 5000}.js HTTP/1.1", 404),
        ("GET /%ff%fe.js?host=%ff HTTP/1.1", 404),
        ("GET /modules HTTP/1.1", 404),
        (f"GET /{'a' * 50_000} HTTP/1.1", 400),
        ("HEAD / HTTP/1.1", 200),
        ("OPTIONS / HTTP/1.1", 403),
        ("TRACE / HTTP/1.1", 403),
        ("CONNECT evil.example:80 HTTP/1.1", 403),
        ("DELETE / HTTP/1.1", 403),
        ("POST /upload?host=shop HTTP/1.1", 403),
        ("GET /socket HTTP/1.1", 400),
        ("GET /snapshot.jpg?host=%ff HTTP/1.1", 404),
        ("GET /preview?host=shop&sha256=%00 HTTP/1.1", 409),
        ("GET / HTTP/1.1\r\nHost: evil.example", 400),
        ("GET / HTTP/1.1\r\nOrigin: http://evil.example", 403),
        ("GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", 403),
        ("GET / HTTP/1.1\r\nX y: 1", 400),
        (f"GET / HTTP/1.1\r\nX: {'a' * 20_000}", 400),
    ],
)
async def test_a_strange_request_gets_one_refusal(
    shop: PanelHost, request_line: str, status: int
) -> None:
    told, body = await raw(shop, f"{request_line}\r\n")
    assert told == status, body
    assert b"root:" not in body
    assert b"import " not in body
    assert len(body) < 10_000
    assert "Traceback" not in shop.panel.output


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", "", "\xff"])
async def test_a_foreign_host_name_gets_nothing(shop: PanelHost, host: str) -> None:
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    status, body = await raw(shop, request, own_host=False)
    assert status in (400, 403)
    assert b"<html" not in body


async def test_a_body_that_contradicts_its_headers_is_refused(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        connected = "SERVICE_STATE_CONNECTED"
        await page.until(lambda: page.hosts[HOST].get("job", {}).get("state") == connected)
    ours = f"Origin: {shop.origin}\r\nX-Usbshare: 1\r\n"
    head = f"POST /upload?host={HOST} HTTP/1.1\r\n{ours}"
    gzip = "Content-Encoding: gzip\r\nContent-Length: 9\r\n"
    for more in (gzip, "Transfer-Encoding: chunked\r\n"):
        first, _, rest = f"{head}{more}".partition("\r\n")
        host = f"Host: 127.0.0.1:{port_of(shop)}\r\nConnection: close\r\n"
        request = f"{first}\r\n{host}{rest}\r\nzz, no data"
        status, _ = await raw(shop, request, own_host=False)
        assert status == 400
    await lives(shop)


async def test_every_response_forbids_what_pages_do_not_need(shop: PanelHost) -> None:
    for path in ("/", "/sw.js", "/nothing.js", "/a%00b.js", "/upload", "/preview", "/socket"):
        async with shop.http.get(f"{shop.origin}{path}") as reply:
            policy = reply.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert reply.headers["X-Frame-Options"] == "DENY"
            assert reply.headers["Referrer-Policy"] == "no-referrer"
            assert "Service-Worker-Allowed" not in reply.headers
            assert "Access-Control-Allow-Origin" not in reply.headers


FRAMES = {
    "no JSON": "{",
    "deep list": "[" * 60_000,
    "deep object": '{"id":1,"x":' + "[" * 30_000 + "]" * 30_000 + "}",
    "deep message": '{"id":1,"ping":' + '{"a":' * 10_000 + "1" + "}" * 10_001,
    "list": "[]",
    "null": "null",
    "a number of many digits": '{"id":' + "9" * 5000 + "}",
    "no number": '{"id":1,"jog":{"x":NaN}}',
    "half a letter": '{"id":1,"sendLine":{"text":"\\ud800"}}',
    "two actions": '{"id":1,"ping":{},"stop":{}}',
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_a_frame_that_is_not_a_request_fails_at_most(shop: PanelHost, frame: str) -> None:
    async with shop.ready_page() as page:
        await page.ask(ping={})
        await page.socket.send_str(frame)  # some have the number 1
        assert "alive" in await page.ask(ping={})
    assert "Traceback" not in shop.panel.output


async def test_a_request_without_an_action_is_refused_with_a_reason(shop: PanelHost) -> None:
    async with shop.page() as page:
        await page.tell(id=1, newer={"x": 1})
        await page.until(lambda: 1 in page.answers)
        assert "does not know the action" in page.answers[1]["failure"]["text"]


@pytest.mark.parametrize("what", [b"\x00\x01", b"x" * 100_000, "x" * 100_000])
async def test_binary_and_huge_frames_close_the_socket(shop: PanelHost, what: bytes | str) -> None:
    async with shop.page() as page:
        if isinstance(what, bytes):
            await page.socket.send_bytes(what)
        else:
            await page.socket.send_str(what)
        with pytest.raises(AssertionError, match="the socket ended"):
            await page.until(lambda: False)
    await lives(shop)


async def test_a_thousand_connections_keep_no_page_out(shop: PanelHost) -> None:
    """Some silent, some with half a head, some in the middle of a second request."""
    async with shop.ready_page() as page, AsyncExitStack() as stack:
        kept = asyncio.create_task(page.until(lambda: False, timeout_s=CLOSED_IN_S * 2))
        before = footprint(shop.panel)
        host = f"Host: 127.0.0.1:{port_of(shop)}\r\n".encode()
        whole = b"GET /manifest.webmanifest HTTP/1.1\r\n" + host + b"\r\n"
        for number in range(CROWD):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(shop))
            stack.callback(writer.close)
            writer.write((b"", b"GET / HTTP/1.1\r\nX", whole + b"GET /")[number % 3])
        await lives(shop)
        assert footprint(shop.panel).descriptors < before.descriptors + CROWD / 3
        kept.cancel()
        with suppress(asyncio.CancelledError):
            await kept
        assert "alive" in await page.ask(ping={})


async def test_a_connection_that_never_completes_its_request_is_closed(shop: PanelHost) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(shop))
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    async with asyncio.timeout(CLOSED_IN_S):
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"G")
                await writer.drain()
                with suppress(TimeoutError):
                    assert not await asyncio.wait_for(reader.read(1), 0.5)
    writer.close()
    await lives(shop)


@asynccontextmanager
async def evil_site() -> AsyncIterator[str]:
    """Serve a page at another origin of the same computer, which the browser calls same-site."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=EVIL, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_page_of_another_origin_gets_nothing(
    shop: PanelHost, browser: Browser, name: str
) -> None:
    panel = f"http://{name}:{port_of(shop)}"
    async with evil_site() as evil:
        page = await browser.new_page()
        await page.goto(evil)
        found: dict[str, Any] = await page.evaluate(TRY, panel)
        assert set(found.values()) == {"refused"}, found
        await page.evaluate("(panel) => { document.querySelector('iframe').src = panel }", panel)
        await page.wait_for_timeout(500)
        frame = page.frames[-1]
        assert not await frame.evaluate("Boolean(document.querySelector('#stop-bar'))")
        form = f"<form method=post action='{panel}/upload?host=shop'><button>x</button></form>"
        await page.set_content(form)
        async with page.expect_navigation():
            await page.click("button")
        assert "another site" in await page.inner_text("body")
        await page.close()
    await lives(shop)


async def test_a_foreign_name_that_resolves_to_this_computer_is_refused(shop: PanelHost) -> None:
    """DNS rebinding: the browser believes that it talks with the other site."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    async with chromium(rules) as rebound:
        page = await rebound.new_page()
        await page.goto(f"http://evil.example:{port_of(shop)}/")
        told = await page.inner_text("body")
        assert "use the address that the panel printed" in told
        assert json.dumps(LASER["host"]) not in told
        found = await page.evaluate(TRY, f"http://evil.example:{port_of(shop)}")
        assert not any("snapshot" in str(each) for each in found.values()), found
        assert found["socket"] == found["video"] == "refused"


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[PanelHost]:
    """A panel that other devices reach with a token."""
    async with panel_host(tmp_path, ["--listen", "0.0.0.0:0"]) as running:
        yield running


async def test_without_the_token_nothing_is_served(shared: PanelHost, browser: Browser) -> None:
    origin = f"http://127.0.0.1:{port_of(shared)}"
    token = shared.url.partition("token=")[2]
    assert token
    for path in ("/", "/index.html", "/modules/main.js", "/snapshot.jpg?host=shop", "/preview"):
        for given in ("", "?token=wrong", f"?token={token[:-1]}"):
            async with shared.http.get(f"{origin}{path.partition('?')[0]}{given}") as reply:
                assert reply.status == 403
                assert "token" in await reply.text()
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await shared.http.ws_connect(f"{origin}/socket", headers={"Origin": origin})
    context = await browser.new_context()
    page = await context.new_page()
    referrers: list[str] = []
    page.on("request", lambda request: referrers.append(request.headers.get("referer", "")))
    await page.goto(f"{origin}/?token={token}")
    assert token not in page.url
    assert not any(token in each for each in referrers)
    assert token not in await page.evaluate("document.cookie + document.documentElement.outerHTML")
    cookies = await context.cookies()
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
    await context.close()


async def test_a_page_sees_no_more_than_its_own_answers(shop: PanelHost) -> None:
    async with shop.ready_page() as page, shop.ready_page() as other:
        await page.ask(sendLine={"machine": LASER, "text": "$I"})
        await other.ask(ping={})
        assert set(other.answers) == {1}
        assert not other.lines
        await page.ask(releaseControl={"machine": LASER})
