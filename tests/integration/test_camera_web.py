"""The pictures on the PC, over HTTP, from a service that does what a test tells it."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from PIL import Image

from fakes.camera_service import TINY_JPEG, FakeCameras, FakeViewer, camera_service, frame
from fakes.certificates import make_site
from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError, NotFoundError
from usbshare.base.http_access import Access
from usbshare.base.http_address import HttpAddress
from usbshare.bridge.camera import web
from usbshare.bridge.camera.session import HttpChoice, Watching, WatchWish
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.client.camera import kept_view, placeholder
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import View
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

ANY_VIEW = View()
LOCAL = HttpAddress("127.0.0.1", 0)
TOKEN = "a-token-of-this-test"
BOUNDARY = b"--usbshare-picture\r\n"


@dataclass(slots=True)
class Told:
    """A reporter with a memory."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def event(self, name: str, text: str, **fields: Any) -> None:
        self.events.append((name, text, fields))

    def status(self, status: object) -> None:
        """Nobody asks."""

    def end(self) -> None:
        """Nothing to leave behind."""

    def url(self) -> str:
        return next((fields["url"] for name, _, fields in self.events if name == "ready"), "")

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]


@dataclass(slots=True)
class Watched:
    """A watching bridge, and a browser."""

    fake: FakeCameras
    told: Told
    http: aiohttp.ClientSession
    base: str

    @property
    def viewer(self) -> FakeViewer:
        assert self.fake.viewer is not None
        return self.fake.viewer

    async def get(self, path: str, **more: Any) -> tuple[int, Any, bytes]:
        async with self.http.get(self.base + path, **more) as reply:
            return reply.status, reply.headers, await reply.read()

    async def state(self) -> Any:
        async with self.http.get(self.base + "state") as reply:
            return await reply.json()

    async def until_state(self, holds: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(30):
            while not holds(state := await self.state()):  # noqa: ASYNC110  # asked from outside
                await asyncio.sleep(0.02)
        return state


@asynccontextmanager
async def watching(
    fake: FakeCameras,
    port: int,
    *,
    bundle: ClientBundle | None = None,
    address: HttpAddress = LOCAL,
    token: str = "",
    view: View = ANY_VIEW,
    camera_id: str = "",
) -> AsyncIterator[Watched]:
    """Run a bridge on the service at this port."""
    told, stopping = Told(), asyncio.Event()
    choice = ViewChoice(camera_id, view, "the test")
    http = HttpChoice(address, Access(token))
    wish = WatchWish(Target("127.0.0.1", port), bundle, choice, http)
    running = asyncio.create_task(Watching(wish, told, lambda _: None).run(stopping))
    try:
        await until(lambda: told.url() or running.done())
        if running.done():
            running.result()
        base = re.sub(r"\?.*", "", told.url())
        async with aiohttp.ClientSession() as session:
            yield Watched(fake, told, session, base)
    finally:
        stopping.set()
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 20)


@asynccontextmanager
async def watched(**more: Any) -> AsyncIterator[Watched]:
    """Run a service and a bridge on it."""
    async with camera_service() as (fake, port), watching(fake, port, **more) as both:
        yield both


async def next_part(reply: aiohttp.ClientResponse) -> tuple[dict[str, str], bytes]:
    """Read one part of the stream: headers and picture."""
    async with asyncio.timeout(30):
        lines = (await reply.content.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        data = await reply.content.readexactly(int(headers["Content-Length"]))
        assert await reply.content.readexactly(2 + len(BOUNDARY)) == b"\r\n" + BOUNDARY
    return headers, data


def jpeg(number: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """Make a picture that is told from others by its bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


async def test_a_stream_carries_each_picture_as_the_service_sent_it() -> None:
    async with watched() as it, it.http.get(it.base + "stream") as reply:
        assert reply.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        assert "Transfer-Encoding" not in reply.headers
        assert await reply.content.readexactly(len(BOUNDARY)) == BOUNDARY
        for number in range(1, 6):
            it.viewer.send_frame(number, jpeg(number))
            headers, data = await next_part(reply)
            assert data == jpeg(number)
            assert headers["X-Usbshare-Sequence"] == str(number)


async def test_the_addresses_of_mjpg_streamer_work() -> None:
    async with watched() as it:
        it.viewer.send_frame(3, jpeg(3))
        await it.until_state(lambda state: state["sequence"] == 3)
        status, headers, data = await it.get("?action=snapshot")
        assert (status, headers["Content-Type"], data) == (200, "image/jpeg", jpeg(3))
        for action in ("stream", "stream_0"):
            async with it.http.get(it.base + f"?action={action}") as reply:
                assert await reply.content.readexactly(len(BOUNDARY)) == BOUNDARY
                assert (await next_part(reply))[1] == jpeg(3)
        async with it.http.head(it.base + "?action=stream") as reply:
            assert reply.status == 405
        assert (await it.get("?action=dance"))[1]["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/snapshot.jpg", "/?action=snapshot"])
async def test_a_program_of_http_1_0_need_not_name_the_host(path: str) -> None:
    async with watched() as it:
        it.viewer.send_frame(3, jpeg(3))
        await it.until_state(lambda state: state["sequence"] == 3)
        assert (await bare(it, f"GET {path} HTTP/1.0\r\n\r\n")).endswith(jpeg(3))
        refused = await bare(it, f"GET {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n")
        assert refused.startswith(b"HTTP/1.0 403")
        refused = await bare(it, f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert refused.split(b" ", 2)[1] in {b"400", b"403"}


async def bare(it: Watched, request: str) -> bytes:
    """Send a request as it is; return all that comes back."""
    port = int(it.base.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.encode())
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


async def test_every_frame_and_the_opening_are_acknowledged() -> None:
    async with watched() as it:
        for number in (1, 2, 5):
            it.viewer.send_frame(number)
        await until(lambda: it.viewer.acknowledged == [0, 1, 2, 5])


async def test_requested_options_reach_the_service() -> None:
    async with watched(view=View(640, 12.5, 70), camera_id="bed") as it:
        asked = it.viewer.open
        assert asked.camera_id == "bed"
        assert asked.client_name == "the test"
        assert (asked.view.width_px, asked.view.fps, asked.view.quality) == (640, 12.5, 70)
        assert asked.view.format == pb.FORMAT_JPEG
        assert asked.view.priority == pb.PRIORITY_NORMAL


async def test_many_programs_share_one_stream_of_the_service() -> None:
    async with watched() as it:
        it.viewer.send_frame(1)
        replies = [await it.http.get(it.base + "stream") for _ in range(8)]
        try:
            assert (await it.state())["http_streams"] == 8
            assert len(it.fake.viewers) == 1
        finally:
            for reply in replies:
                reply.close()


async def test_a_program_that_leaves_is_forgotten() -> None:
    async with watched() as it:
        it.viewer.send_frame(1)
        async with it.http.get(it.base + "stream") as reply:
            await reply.content.readexactly(len(BOUNDARY))
        sequence = iter(range(2, 10_000))

        def has_left(state: Any) -> bool:
            it.viewer.send_frame(next(sequence))
            return bool(state["http_streams"] == 0)

        await it.until_state(has_left)


async def test_a_snapshot_reports_its_times() -> None:
    async with watched() as it:
        captured_s = time.time() - 0.25
        it.viewer.send_frame(7, jpeg(7), captured_s=captured_s, send_s=0.25)
        await it.until_state(lambda state: state["sequence"] == 7)
        status, headers, body = await it.get("snapshot.jpg")
        assert (status, body) == (200, jpeg(7))
        assert headers["Content-Type"] == "image/jpeg"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Usbshare-Sequence"] == "7"
        assert float(headers["X-Usbshare-Age-Ms"]) >= 250
        assert parsedate_to_datetime(headers["Last-Modified"]).timestamp() == int(captured_s)


async def test_a_snapshot_without_a_picture_is_a_503_with_one_that_says_so() -> None:
    async with watched() as it:
        status, headers, body = await it.get("snapshot.jpg")
        assert status == 503
        assert headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(body)).size == (1280, 720)


async def test_a_placeholder_of_the_service_is_shown_but_is_no_snapshot() -> None:
    async with watched() as it, it.http.get(it.base + "stream") as reply:
        await reply.content.readexactly(len(BOUNDARY))
        it.viewer.send_frame(1, jpeg(1))
        await next_part(reply)
        it.viewer.camera_is(pb.CAMERA_STATE_LOST, "unplugged")
        it.viewer.send_frame(2, jpeg(200), is_placeholder=True)
        assert (await next_part(reply))[1] == jpeg(200)
        status, _, body = await it.get("snapshot.jpg")
        assert (status, body) == (503, jpeg(200))
        state = await it.state()
        assert (state["state"], state["reason"]) == ("no picture", "unplugged")
        assert state["sequence"] == 1
        it.viewer.camera_is(pb.CAMERA_STATE_LIVE)
        it.viewer.send_frame(3, jpeg(3))
        assert (await next_part(reply))[1] == jpeg(3)
        assert (await it.state())["state"] == "live"


async def test_silence_is_shown_within_two_seconds() -> None:
    async with watched() as it, it.http.get(it.base + "stream") as reply:
        await reply.content.readexactly(len(BOUNDARY))
        it.viewer.send_frame(1, jpeg(1, (640, 480)), size=(640, 480))
        await next_part(reply)
        start = time.monotonic()
        _, data = await next_part(reply)
        assert Image.open(io.BytesIO(data)).size == (640, 480)
        assert time.monotonic() - start < 10  # 1.5 s on a machine with nothing else to do
        state = await it.state()
        assert state["state"] == "no picture"
        assert "no picture comes from" in state["reason"]


async def test_a_stream_that_is_lost_comes_back_automatically() -> None:
    async with watched() as it, it.http.get(it.base + "stream") as reply:
        await reply.content.readexactly(len(BOUNDARY))
        it.viewer.send_frame(900, jpeg(1))
        await next_part(reply)
        it.viewer.end(DeviceError("the service draws its last breath"))
        await until(lambda: len(it.fake.viewers) == 2 and it.fake.viewer is not None)
        it.viewer.send_frame(1, jpeg(2))  # a service that was started again counts anew
        while (await next_part(reply))[1] != jpeg(2):
            pass
        state = await it.state()
        assert (state["state"], state["reconnections"]) == ("live", 1)
        assert any("last breath" in text for _, text, _ in it.told.events)


async def test_a_service_that_dies_is_reported_in_a_picture_until_it_is_back() -> None:
    async with AsyncExitStack() as bridge:
        async with camera_service() as (fake, port):
            it = await bridge.enter_async_context(watching(fake, port))
            it.viewer.send_frame(1, jpeg(1))
            await it.until_state(lambda state: state["state"] == "live")
        await it.until_state(lambda state: "nothing listens" in state["reason"])
        assert (await it.state())["state"] == "lost"
        while (await it.get("snapshot.jpg"))[0] != 503:
            pass
        async with camera_service(port=port) as (again, _):
            await until(lambda: again.viewer is not None)
            assert again.viewer is not None
            again.viewer.send_frame(5, jpeg(5))
            await it.until_state(lambda state: state["state"] == "live" and state["sequence"] == 5)


async def test_pictures_that_were_not_requested_are_not_shown() -> None:
    async with watched() as it:
        it.viewer.send_frame(1, b"\0\0\0\1H.264", encoding=pb.FORMAT_H264)
        it.viewer.send_frame(2, b"no picture at all")
        it.viewer.send_frame(3, jpeg(3))
        state = await it.until_state(lambda state: state["sequence"] == 3)
        assert state["drops"]["unusable"] == 2
        assert state["frames"] == 1
        await until(lambda: it.viewer.acknowledged == [0, 1, 2, 3])


async def test_only_what_was_not_requested_is_named_as_the_reason() -> None:
    async with watched() as it:
        it.viewer.send_frame(1, b"\0\0\0\1H.264", encoding=pb.FORMAT_H264)
        state = await it.until_state(lambda state: state["reason"] != "")
        assert state["reason"] == "the service sent h264, which was not requested"


async def test_a_frame_that_comes_late_never_replaces_a_newer_one() -> None:
    async with watched() as it:
        for number in (5, 3, 5):
            it.viewer.send_frame(number, jpeg(number))
        state = await it.until_state(lambda state: state["drops"]["late"] == 2)
        assert state["sequence"] == 5
        await until(lambda: it.viewer.acknowledged == [0, 5, 3, 5])


async def test_drops_are_reported_by_cause() -> None:
    stats = pb.CameraStats(
        camera_id="bed",
        viewers=[
            pb.ViewerStats(client_name="somebody else", dropped_rate=99),
            pb.ViewerStats(client_name="the test", dropped_rate=7, dropped_encoder=3),
        ],
    )
    fake = FakeCameras(stats=stats)
    async with camera_service(fake=fake) as (_, port), watching(fake, port) as it:
        it.viewer.send_frame(4, dropped=2)
        state = await it.until_state(lambda state: state["drops"]["rate"] == 7)
        assert state["drops"]["encoder"] == 3
        state = await it.until_state(lambda state: state["sequence"] == 4)
        assert state["drops"]["window"] == 2


async def test_ages_are_right_although_the_clocks_differ_by_an_hour() -> None:
    fake = FakeCameras(clock_ahead_s=3600)
    async with camera_service(fake=fake) as (_, port), watching(fake, port) as it:
        await it.until_state(lambda state: state["half_round_trip_ms"] > 0)
        it.viewer.send_frame(1, captured_s=time.time() + 3600 - 0.5, send_s=0.1)
        state = await it.until_state(lambda state: state["age_ms"] is not None)
        assert 500 <= state["age_ms"]["now"] < 5000
        assert state["stages_ms"]["transport"] >= 300


async def test_a_slow_program_slows_no_other_and_gets_the_newest() -> None:
    async with watched() as it:
        slow = _slow_reader(it.base)
        big = jpeg(1) + bytes(400_000)
        async with it.http.get(it.base + "stream") as reply:
            await reply.content.readexactly(len(BOUNDARY))
            for number in range(1, 101):
                it.viewer.send_frame(number, big)
                headers, _ = await next_part(reply)
                assert headers["X-Usbshare-Sequence"] == str(number)
        with slow:
            slow.settimeout(30)
            received = await asyncio.to_thread(_read_until, slow, b"X-Usbshare-Sequence: 100")
        numbers = [int(each) for each in re.findall(rb"X-Usbshare-Sequence: (\d+)", received)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < 60
        assert (await it.state())["drops"]["http"] >= 40


async def test_a_program_that_reads_nothing_is_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "STUCK_S", 0.2)
    async with watched() as it:
        with _slow_reader(it.base):
            await it.until_state(lambda state: state["http_streams"] == 1)
            sequence, big = itertools.count(1), jpeg(1) + bytes(400_000)

            def is_gone(state: Any) -> bool:
                it.viewer.send_frame(next(sequence), big)
                return bool(state["http_streams"] == 0)

            await it.until_state(is_gone)


async def test_no_more_programs_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_STREAMS", 2)
    async with watched() as it, it.http.get(it.base + "stream"), it.http.get(it.base + "stream"):
        status, _, body = await it.get("stream")
        assert status == 503
        assert b"2 programs are already watching" in body


async def test_a_service_that_stays_silent_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_view, "SILENCE_S", 0.2)
    async with watched() as it:
        await until(lambda: len(it.fake.viewers) >= 2)
        assert any("no picture arrived for 0.2 s" in text for _, text, _ in it.told.events)


async def test_a_picture_a_minute_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_view, "SILENCE_S", 0.2)
    monkeypatch.setattr(placeholder, "QUIET_S", 0.2)
    async with watched(view=View(fps=1 / 60)) as it:
        it.viewer.send_frame(1, jpeg(1), fps=1 / 60)
        await it.until_state(lambda state: state["state"] == "live")
        await it.until_state(lambda state: state["picture_age_ms"] > 1000)
        assert (await it.state())["state"] == "live"
        assert (await it.get("snapshot.jpg"))[0] == 200


async def test_a_service_that_begins_with_something_else_is_refused() -> None:
    fake = FakeCameras(opened=frame(1))
    async with camera_service(fake=fake) as (_, port):
        with pytest.raises(kept_view.ViewLostError, match="first message was Frame"):
            async with watching(fake, port):
                pass


def _slow_reader(base: str) -> socket.socket:
    """Connect a program that reads nothing yet, and has little room for what it does not read."""
    host, port = base.removeprefix("http://").strip("/").split(":")
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    slow.connect((host, int(port)))
    slow.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return slow


def _read_until(slow: socket.socket, text: bytes) -> bytes:
    received = b""
    while text not in received:
        received += slow.recv(1 << 20)
    return received


async def test_a_browser_is_sent_the_next_header_early() -> None:
    chromium = {"User-Agent": "Mozilla/5.0 AppleWebKit/537.36 Chrome/120 Safari/537.36"}
    async with watched() as it, it.http.get(it.base + "stream", headers=chromium) as reply:
        early = BOUNDARY + b"Content-Type: image/jpeg\r\n\r\n"
        assert await reply.content.readexactly(len(early)) == early
        it.viewer.send_frame(1, jpeg(1))
        whole = jpeg(1) + b"\r\n" + early
        assert await asyncio.wait_for(reply.content.readexactly(len(whole)), 30) == whole


@pytest.mark.parametrize("path", ["", "stream", "snapshot.jpg", "state"])
async def test_without_the_token_nothing_is_shown(path: str) -> None:
    async with watched(token=TOKEN) as it:
        it.viewer.send_frame(1)
        for more in ({}, {"params": {"token": TOKEN + "x"}}, {"params": {"token": "é"}}):
            status, _, body = await it.get(path, **more)
            assert status == 403
            assert b"token" in body
        async with it.http.get(it.base + path, params={"token": TOKEN}) as reply:
            assert reply.status == 200
        async with it.http.get(
            it.base + path, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as reply:
            assert reply.status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "192.168.1.5", ""])
async def test_a_foreign_name_for_this_computer_is_refused(host: str) -> None:
    async with watched() as it:
        status, _, _ = await it.get("state", headers={"Host": host})
        assert status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8081"])
async def test_this_computers_own_names_are_served(host: str) -> None:
    async with watched() as it:
        status, _, _ = await it.get("state", headers={"Host": host})
        assert status == 200


async def test_over_mutual_tls(tmp_path: Any) -> None:
    site = make_site(tmp_path)
    bundle = ClientBundle.load(site.client_bundle)
    async with (
        camera_service(site) as (fake, port),
        watching(fake, port, bundle=bundle) as it,
    ):
        it.viewer.send_frame(1, jpeg(1))
        await it.until_state(lambda state: state["state"] == "live")


async def test_a_picture_of_several_megabytes_arrives() -> None:
    async with watched() as it:
        it.viewer.send_frame(1, TINY_JPEG + bytes(12_000_000))
        await it.until_state(lambda state: state["sequence"] == 1)


async def test_a_first_connection_that_fails_says_why() -> None:
    async with camera_service() as (fake, port):
        with pytest.raises(NotFoundError, match="there is no camera 'sofa'"):
            async with watching(fake, port, camera_id="sofa"):
                pass
    with pytest.raises(ConnectionRefusedByPeerError, match="nothing listens"):
        async with watching(fake, port):
            pass
