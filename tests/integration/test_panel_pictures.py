"""The panel's pictures over WebSocket and HTTP, from a service that does what a test says."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from fakes.camera_service import TINY_JPEG, FakeCameras, FakeViewer, camera_service
from fakes.panel_pictures import Hosts, picture_server
from fakes.waiting import until
from usbshare.base.errors import DeviceError, NotSupportedError, PermissionDeniedError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.client.camera import kept_view
from usbshare.client.camera.messages import Format, Frame
from usbshare.panel.pictures.outbox import Outbox
from usbshare.panel.pictures.wire import ViewNews
from usbshare.rpc.channel import Target

HEADER = struct.Struct(">BBHHHdddd")
SPS = b"\0\0\0\1\x67\x42\xc0\x1e"
KEY, PLACEHOLDER, H264 = 1, 2, 4
BOTH = "host=bench&formats=h264,jpeg"


@dataclass(slots=True)
class PictureMessage:
    """One frame as the page gets it."""

    flags: int
    size: tuple[int, int]
    stream: int
    sequence: int
    age_ms: float
    data: bytes


@dataclass(slots=True)
class PageSocket:
    """The page's end of the video socket."""

    socket: aiohttp.ClientWebSocketResponse

    async def say(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def frame(self) -> PictureMessage:
        """Return the next frame."""
        while True:
            message = await asyncio.wait_for(self.socket.receive(), 30)
            if message.type is aiohttp.WSMsgType.BINARY:
                version, flags, width, height, stream, number, _, age, _ = HEADER.unpack_from(
                    message.data
                )
                assert version == 1
                data = message.data[HEADER.size :]
                return PictureMessage(flags, (width, height), stream, int(number), age, data)
            assert message.type is aiohttp.WSMsgType.TEXT, message

    async def news(self, state: str) -> dict[str, Any]:
        """Return the next news of this state."""
        while True:
            view = (await self.text()).get("view")
            if view and view["state"] == state:
                return dict(view)

    async def text(self) -> dict[str, Any]:
        while True:
            message = await asyncio.wait_for(self.socket.receive(), 30)
            if message.type is aiohttp.WSMsgType.TEXT:
                return dict(json.loads(message.data))
            assert message.type is aiohttp.WSMsgType.BINARY, message

    async def text_after(self, key: str) -> dict[str, Any]:
        """Return what comes next under this key."""
        while key not in (message := await self.text()):
            pass
        return dict(message[key])

    async def close_code(self) -> int | None:
        async for _ in self.socket:
            pass
        return self.socket.close_code


@dataclass(slots=True)
class Rig:
    """A service, the panel's pictures, and a browser."""

    fake: FakeCameras
    http: aiohttp.ClientSession
    url: str

    @property
    def viewer(self) -> FakeViewer:
        assert self.fake.viewer is not None
        return self.fake.viewer

    @asynccontextmanager
    async def page(self, query: str = BOTH) -> AsyncIterator[PageSocket]:
        async with self.http.ws_connect(f"{self.url}video?{query}") as socket:
            yield PageSocket(socket)

    @asynccontextmanager
    async def watching(self, query: str = BOTH) -> AsyncIterator[PageSocket]:
        """Show a picture whose stream is established."""
        async with self.page(query) as page:
            await until(lambda: self.fake.viewer is not None)
            yield page


@asynccontextmanager
async def rig(fake: FakeCameras | None = None) -> AsyncIterator[Rig]:
    async with (
        camera_service(fake=fake) as (service, port),
        picture_server(Hosts(bench=(Target("127.0.0.1", port), None))) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Rig(service, http, url)


def send(viewer: FakeViewer, sequence: int, *, is_key: bool = True, **more: Any) -> None:
    """Send H.264."""
    viewer.send_frame(sequence, SPS + b"picture", encoding=pb.FORMAT_H264, is_key=is_key, **more)


async def test_a_frame_comes_as_it_is_and_is_acknowledged_when_the_page_is_done_with_it() -> None:
    async with rig() as it, it.watching() as page:
        assert it.viewer.open.view.format == pb.FORMAT_H264
        send(it.viewer, 7, size=(640, 360), send_s=0.004)
        frame = await page.frame()
        assert (frame.flags, frame.size, frame.sequence) == (KEY | H264, (640, 360), 7)
        assert frame.data == SPS + b"picture"
        assert frame.age_ms >= 4
        await page.say(ping=1)  # what came before is read
        assert (await page.text_after("pong"))["id"] == 1
        await until(lambda: it.viewer.acknowledged == [0])
        await page.say(acknowledge=7)
        await until(lambda: it.viewer.acknowledged == [0, 7])


async def test_an_unknown_acknowledgement_is_not_passed_on() -> None:
    async with rig() as it, it.watching() as page:
        await page.say(acknowledge=99)
        send(it.viewer, 1)
        await page.frame()
        await page.say(acknowledge=1)
        await until(lambda: it.viewer.acknowledged == [0, 1])


async def test_a_page_that_cannot_decode_gets_a_key_frame_by_another_stream() -> None:
    async with rig() as it, it.watching() as page:
        first = it.viewer
        send(first, 1)
        before = await page.frame()
        await page.say(key_frame=True)
        await page.say(ping=1)
        await page.text_after("pong")
        send(first, 2, is_key=False)
        await until(lambda: it.fake.viewer not in {None, first})
        send(it.viewer, 2)
        after = await page.frame()
        assert after.stream != before.stream
        assert after.flags == KEY | H264


async def test_a_host_without_an_encoder_gives_jpeg() -> None:
    class WithoutEncoder(FakeCameras):
        async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
            first = await anext(request_iterator)
            if first.open.view.format == pb.FORMAT_H264:
                raise NotSupportedError("view.format: there is no encoder")

            async def again() -> AsyncIterator[Any]:
                yield first
                async for request in request_iterator:
                    yield request

            async for response in FakeCameras.Watch(self, again(), context):
                yield response

    async with rig(WithoutEncoder()) as it, it.watching() as page:
        assert it.viewer.open.view.format == pb.FORMAT_JPEG
        it.viewer.send_frame(1)
        frame = await page.frame()
        assert frame.data == TINY_JPEG
        assert not frame.flags & H264


async def test_a_placeholder_is_marked_and_has_its_reason() -> None:
    async with rig() as it, it.watching() as page:
        it.viewer.camera_is(pb.CAMERA_STATE_LOST, "it was unplugged")
        it.viewer.send_frame(3, is_placeholder=True)
        assert (await page.frame()).flags & PLACEHOLDER
        it.viewer.camera_is(pb.CAMERA_STATE_LIVE)
        it.viewer.send_frame(4)
        assert (await page.news("live"))["camera"] == "bed"


async def test_a_lost_stream_is_reported_and_another_one_begun() -> None:
    async with rig() as it, it.watching() as page:
        first = it.viewer
        first.send_frame(1)
        await page.frame()
        first.end(DeviceError("the camera is on fire"))
        assert "the camera is on fire" in (await page.news("lost"))["reason"]
        await until(lambda: it.fake.viewer not in {None, first})
        it.viewer.send_frame(1)
        await page.news("live")


async def test_a_client_without_the_right_to_view_is_refused_with_a_reason() -> None:
    class Closed(FakeCameras):
        async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
            async for _ in request_iterator:
                raise PermissionDeniedError("'pc' may not view camera 'bed'")
            yield

    async with rig(Closed()) as it, it.page() as page:
        assert "may not view" in (await page.news("refused"))["reason"]
        assert await page.close_code() == 4403


async def test_an_unknown_host_is_refused_with_a_reason() -> None:
    async with rig() as it, it.page("host=nobody") as page:
        assert "nobody" in (await page.news("lost"))["reason"]


async def test_a_page_that_goes_ends_its_stream() -> None:
    async with rig() as it:
        async with it.watching():
            viewer = it.viewer
        await until(lambda: viewer.is_over)


async def test_a_page_that_acknowledges_nothing_makes_no_host_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_view, "SILENCE_S", 0.05)
    async with rig() as it, it.watching("host=bench") as page:
        it.viewer.send_frame(1, fps=1000.0)
        await page.frame()
        for number in range(20):
            await page.say(ping=number)
            await page.text_after("pong")
            await asyncio.sleep(0.01)  # the time that passes is what is tested
        assert len(it.fake.viewers) == 1
        await page.say(acknowledge=1)
        await until(lambda: len(it.fake.viewers) > 1)


async def test_older_pictures_are_not_shown() -> None:
    async with rig() as it, it.watching("host=bench") as page:
        it.viewer.send_frame(5)
        assert (await page.frame()).sequence == 5
        it.viewer.send_frame(4)
        it.viewer.send_frame(6)
        assert (await page.frame()).sequence == 6


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "`host` is missing"),
        ("host=bench&width=-1", "`width` is a number from 0 to 16384"),
        ("host=bench&width=1.5", "`width` must be a whole number"),
        ("host=bench&width=nan", "`width`"),
        ("host=bench&fps=999", "`fps` is a number from 0 to 240"),
        ("host=bench&formats=av1", "known are h264, jpeg"),
        (f"host={'x' * 400}", "at most 300"),
    ],
)
@pytest.mark.parametrize("path", ["video", "stream", "snapshot.jpg"])
async def test_a_wrong_request_is_refused_with_its_mistake(
    path: str, query: str, says: str
) -> None:
    async with rig() as it, it.http.get(f"{it.url}{path}?{query}") as reply:
        assert reply.status == 400
        assert says in await reply.text()


@pytest.mark.parametrize(
    "message", ["", "{}", "[]", '{"acknowledge": -1}', '{"acknowledge": true}', '{"ping": 1e99}']
)
async def test_a_wrong_message_ends_the_socket(message: str) -> None:
    async with rig() as it, it.watching() as page:
        viewer = it.viewer
        await page.socket.send_str(message)
        assert await page.close_code() == aiohttp.WSCloseCode.POLICY_VIOLATION
        await until(lambda: viewer.is_over)


async def test_a_snapshot_is_a_picture_with_its_time() -> None:
    async with rig() as it, it.http.get(f"{it.url}snapshot.jpg?host=bench&width=320") as reply:
        assert reply.status == 200
        assert await reply.read() == TINY_JPEG
        assert reply.headers["X-Usbshare-Sequence"] == "1"
        assert it.fake.snapshots[0].width_px == 320


async def test_a_snapshot_that_cannot_be_had_says_why() -> None:
    fake = FakeCameras(snapshot=DeviceError("it was unplugged"))
    async with rig(fake) as it, it.http.get(f"{it.url}snapshot.jpg?host=bench") as reply:
        assert reply.status == 503
        assert "it was unplugged" in await reply.text()
    async with rig() as it, it.http.get(f"{it.url}snapshot.jpg?host=nobody") as reply:
        assert reply.status == 404


async def test_mjpeg_shows_the_newest_picture() -> None:
    async with rig() as it:
        getting = asyncio.create_task(it.http.get(f"{it.url}stream?host=bench").__aenter__())
        await until(lambda: it.fake.viewer is not None)
        async with await getting as reply:
            assert reply.headers["Content-Type"].startswith("multipart/x-mixed-replace")
            viewer = it.viewer
            for number in (1, 2):
                viewer.send_frame(number)
                read = b""
                while TINY_JPEG not in read:
                    read += await reply.content.readany()
                assert f"X-Usbshare-Sequence: {number}".encode() in read
            reply.close()
        await until(lambda: viewer.is_over)


async def test_mjpeg_of_a_host_that_cannot_be_reached_says_why() -> None:
    async with rig() as it, it.http.get(f"{it.url}stream?host=bench&camera=attic") as reply:
        assert reply.status == 404
        assert "no camera 'attic'" in await reply.text()


async def test_pages_that_come_and_go_leave_nothing() -> None:
    async with rig() as it:
        async with it.watching() as page:  # what is made once is made
            send(it.viewer, 1)
            await page.frame()
        await until(lambda: it.fake.viewer is None)
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with it.watching() as page:
                send(it.viewer, 1)
                await page.frame()
            await until(lambda: it.fake.viewer is None)
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_pages_are_told_that_the_panel_ends() -> None:
    async with aiohttp.ClientSession() as http, camera_service() as (fake, port):
        hosts = Hosts(bench=(Target("127.0.0.1", port), None))
        async with picture_server(hosts) as url:
            socket = await http.ws_connect(f"{url}video?{BOTH}")
            await until(lambda: fake.viewer is not None)
            ending = asyncio.create_task(PageSocket(socket).close_code())
        assert await ending == aiohttp.WSCloseCode.GOING_AWAY
        await until(lambda: fake.viewer is None)


# What waits for a slow page.


def picture(sequence: int, encoding: Format = Format.JPEG, *, is_key: bool = False) -> Frame:
    return Frame(sequence, 0.0, 0, 4, 4, b"\xff\xd8", encoding, is_key=is_key)


async def sequences(outbox: Outbox, count: int) -> list[int]:
    messages = [await outbox.next() for _ in range(count)]
    return [int(HEADER.unpack_from(each)[5]) for each in messages if isinstance(each, bytes)]


async def test_the_newest_jpeg_replaces_what_waits() -> None:
    outbox = Outbox(lambda: 0.0)
    for number in range(1, 5):
        assert outbox.put(picture(number), 0.0)
    assert await sequences(outbox, 1) == [4]


async def test_h264_waits_in_order_until_a_key_frame_replaces_it() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.put(picture(1, Format.H264, is_key=True), 0.0)
    outbox.put(picture(2, Format.H264), 0.0)
    assert await sequences(outbox, 2) == [1, 2]
    outbox.put(picture(3, Format.H264), 0.0)
    outbox.put(picture(4, Format.H264, is_key=True), 0.0)
    assert await sequences(outbox, 1) == [4]


async def test_a_backlog_of_h264_is_bounded() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.put(picture(0, Format.H264, is_key=True), 0.0)
    taken = [outbox.put(picture(number, Format.H264), 0.0) for number in range(1, 1000)]
    assert sum(taken) < 100


async def test_waiting_makes_a_picture_older() -> None:
    now = 5.0
    outbox = Outbox(lambda: now)
    outbox.put(picture(1), 0.25)
    now = 5.5
    message = await outbox.next()
    assert isinstance(message, bytes)
    *_, age_ms, sent_ms = HEADER.unpack_from(message)
    assert (age_ms, sent_ms) == (750.0, 5500.0)


async def test_unchanged_news_are_not_sent_again() -> None:
    outbox = Outbox(lambda: 0.0)
    outbox.tell(ViewNews("live"))
    assert "live" in str(await outbox.next())
    outbox.tell(ViewNews("lost", "x"))
    outbox.tell(ViewNews("live"))
    outbox.pinged(3)
    assert "pong" in str(await outbox.next())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.next(), 0.01)
