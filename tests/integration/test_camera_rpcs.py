"""The camera service's RPCs, called as other tools call them: generated stubs over real mTLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes.cameras import EXPOSURE, FakeCamera, decoded, jpeg_of, noisy_jpeg, truncated
from fakes.certificates import make_site
from fakes.gates import gate_of
from fakes.waiting import until
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.camera_svc.api.servicer import SERVICE_NAME, CameraServicer, add_to_server
from usbshare.camera_svc.capture import camera as camera_module
from usbshare.camera_svc.capture import registry as registry_module
from usbshare.camera_svc.capture.camera import CameraConfig
from usbshare.camera_svc.capture.device_list import CameraFound
from usbshare.camera_svc.capture.registry import OfferedCamera, Registry
from usbshare.camera_svc.picture import h264
from usbshare.camera_svc.service import make_encoding
from usbshare.camera_svc.viewers import snapshot
from usbshare.rpc import first_message
from usbshare.rpc.channel import Target, open_channel, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.camera.v1.camera_pb2_grpc import CameraServiceAsyncStub

TIMEOUT_S = 30.0
PICTURE = noisy_jpeg()


@dataclass
class Served:
    """A running service with one camera that does what the test tells it, and a client."""

    registry: Registry
    camera: FakeCamera
    target: Target
    bundle: ClientBundle
    stub: CameraServiceAsyncStub
    channel: grpc.aio.Channel

    @property
    def offered(self) -> OfferedCamera:
        return self.registry.get("bed")

    def watch(self) -> Watch:
        return Watch(self.stub.Watch())

    async def opened(self, **asked: Any) -> Watch:
        watch = self.watch()
        await watch.send(open=pb.Open(**asked))
        assert (await watch.next("opened")).camera.id == "bed"
        return watch

    async def stats(self) -> pb.CameraStats:
        call = self.stub.WatchStats(pb.WatchStatsRequest(camera_id="bed"), timeout=TIMEOUT_S)
        response = await call.read()
        call.cancel()
        assert isinstance(response, pb.WatchStatsResponse)
        return response.cameras[0]


class Watch:
    """One stream."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.delivery = pb.Delivery()

    async def send(self, **message: Any) -> None:
        await self.call.write(pb.WatchRequest(**message))

    async def acknowledge(self, sequence: int) -> None:
        await self.send(acknowledge=pb.Acknowledge(sequence=sequence))

    async def response(self) -> pb.WatchResponse:
        response = await asyncio.wait_for(self.call.read(), TIMEOUT_S)
        assert isinstance(response, pb.WatchResponse), "the stream ended"
        return response

    async def next(self, kind: str) -> Any:
        """Return the next step of that kind; others are passed over."""
        while (response := await self.response()).WhichOneof("event") != kind:
            pass
        self.delivery = response.delivery
        return getattr(response, kind)

    async def frame(self) -> pb.Frame:
        """Return the next frame, acknowledged."""
        frame: pb.Frame = await self.next("frame")
        await self.acknowledge(frame.sequence)
        return frame

    async def picture(self, *, placeholder: bool = False) -> pb.Frame:
        """Return the next frame that is, or is not, a placeholder."""
        while (frame := await self.frame()).is_placeholder != placeholder:
            pass
        return frame

    async def end(self) -> None:
        self.call.cancel()
        await asyncio.wait((asyncio.ensure_future(self.call.code()),))


@asynccontextmanager
async def serving(site: Site, still: bytes | None = PICTURE) -> AsyncIterator[Served]:
    bundle = ClientBundle.load(site.client_bundle)
    encoding = make_encoding()
    registry, camera = Registry(encoding), FakeCamera(still)
    registry.add(CameraConfig("bed", "the bed", "fake://", linger_s=0.0), camera.make)
    server = make_server()
    add_to_server(CameraServicer(registry, gate_of(site, "camera-svc")), server)
    await add_standard_services(server, [SERVICE_NAME])
    target = parse_target(f"127.0.0.1:{bind(server, '127.0.0.1:0', server_credentials(site))}")
    await server.start()
    channel = open_channel(target, bundle)
    yield Served(registry, camera, target, bundle, CameraServiceStub(channel), channel)
    camera.go_on()
    await registry.close()
    await channel.close()
    await server.stop(None)
    await asyncio.to_thread(encoding.executor.shutdown)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[Served]:
    async with serving(site) as made:
        yield made


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "SILENT_S", 0.2)
    monkeypatch.setattr(camera_module, "RETRY_S", 0.05)
    monkeypatch.setattr(camera_module, "PLACEHOLDER_S", 0.05)


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def failure_of(watch: Watch) -> tuple[grpc.StatusCode, str]:
    async with asyncio.timeout(TIMEOUT_S):
        with suppress(grpc.aio.AioRpcError):
            while await watch.call.read() is not grpc.aio.EOF:
                pass
        return await watch.call.code(), await watch.call.details()


# ListCameras


async def test_cameras_are_listed_by_id_with_their_state(served: Served) -> None:
    served.registry.add(CameraConfig("a", "first", "rtsp://me:secret@cam/1"), served.camera.make)
    response = await served.stub.ListCameras(pb.ListCamerasRequest(), timeout=TIMEOUT_S)
    first, bed = response.cameras
    assert (first.id, first.name, first.source) == ("a", "first", "rtsp://cam/1")
    assert (bed.id, bed.name, bed.state) == ("bed", "the bed", pb.CAMERA_STATE_CLOSED)
    assert not bed.HasField("last_frame_time")


async def test_a_watched_camera_is_listed_with_all_that_is_known(served: Served) -> None:
    before = time.time()
    await (await served.opened()).frame()
    response = await served.stub.ListCameras(pb.ListCamerasRequest(), timeout=TIMEOUT_S)
    (bed,) = response.cameras
    assert (bed.state, bed.viewers) == (pb.CAMERA_STATE_LIVE, 1)
    assert (bed.modes[0].width_px, bed.modes[0].format) == (320, pb.PIXEL_FORMAT_MJPEG)
    assert bed.controls[0].name == "exposure"
    assert before - 1 <= bed.last_frame_time.ToNanoseconds() / 1e9 <= time.time() + 1


# Watch


async def test_frames_come_with_their_times_and_rising_numbers(served: Served) -> None:
    before_ns, before = time.monotonic_ns(), time.time()
    watch = await served.opened(client_name="test")
    frames = [await watch.frame() for _ in range(3)]
    sequences = [frame.sequence for frame in frames]
    assert sequences == sorted(set(sequences))
    last = frames[-1]
    assert before_ns <= last.capture_monotonic_ns <= time.monotonic_ns()
    assert before - 1 <= last.capture_time.ToNanoseconds() / 1e9 <= time.time() + 1
    assert (last.width_px, last.height_px, last.format) == (320, 240, pb.FORMAT_JPEG)
    assert last.is_key
    assert 0 < watch.delivery.send_delay.ToNanoseconds() / 1e9 < TIMEOUT_S


async def test_the_cameras_own_jpeg_passes_through_undecoded(served: Served) -> None:
    watch = await served.opened()
    frames = [await watch.frame() for _ in range(5)]
    assert all(frame.data == PICTURE and frame.quality == 0 for frame in frames)
    stats = await served.stats()
    assert (stats.decoded_frames, stats.encoded_frames) == (0, 0)
    assert stats.passed_frames >= 5


async def test_a_smaller_view_is_scaled_and_keeps_its_shape(served: Served) -> None:
    watch = await served.opened(view=pb.View(width_px=160, quality=40))
    frame = await watch.frame()
    assert (frame.width_px, frame.height_px, frame.quality) == (160, 120, 40)
    assert decoded(frame.data).shape == (120, 160, 3)
    assert frame.encode_delay.ToNanoseconds() > 0


async def test_viewers_who_want_the_same_share_one_encode(served: Served) -> None:
    served.camera.still = None
    view = pb.View(width_px=160)
    watches = [await served.opened(view=view) for _ in range(4)]
    served.camera.give(PICTURE)
    frames = [await watch.frame() for watch in watches]
    assert len({frame.data for frame in frames}) == 1
    assert served.offered.encoded.encoded_frames == 1


@pytest.mark.parametrize("window", [1, 2, 3])
async def test_no_more_than_the_window_is_sent_unacknowledged(served: Served, window: int) -> None:
    watch = await served.opened(window=window)
    (first, *_) = [await watch.next("frame") for _ in range(window)]
    (viewer,) = [watcher.viewer for watcher in served.offered.watchers]
    before = viewer.counters.dropped_window
    await until(lambda: viewer.counters.dropped_window >= before + 3)
    assert viewer.counters.sent_frames == window
    await watch.acknowledge(first.sequence)
    newest = await watch.next("frame")
    assert watch.delivery.dropped_frames >= 3
    assert newest.sequence > first.sequence + window


async def test_the_answer_to_opened_gives_the_round_trip(served: Served) -> None:
    watch = await served.opened()
    await watch.acknowledge(0)
    (watcher,) = served.offered.watchers
    await until(lambda: watcher.viewer.round_trip_s > 0)
    assert watcher.viewer.round_trip_s < TIMEOUT_S


async def test_an_unknown_acknowledgement_is_ignored(served: Served) -> None:
    watch = await served.opened(window=1)
    frame = await watch.next("frame")
    await watch.acknowledge(frame.sequence + 1000)
    await watch.acknowledge(frame.sequence)
    assert (await watch.frame()).sequence > frame.sequence


async def test_the_view_changes_on_a_live_stream(served: Served) -> None:
    watch = await served.opened(view=pb.View(fps=0.01))
    assert (await watch.frame()).width_px == 320
    await watch.send(adjust=pb.Adjust(view=pb.View(width_px=160)))
    assert (await watch.frame()).width_px == 160


async def test_controls_change_on_a_live_stream(served: Served) -> None:
    watch = await served.opened()
    await watch.frame()
    change = pb.ControlChange(name="exposure", value=500)
    await watch.send(change_controls=pb.ChangeControls(changes=[change]))
    answer = await watch.next("controls")
    assert answer.message == ""
    assert (answer.controls[0].value, answer.controls[0].automatic) == (500, False)


async def test_a_control_that_is_not_there_does_not_end_the_stream(served: Served) -> None:
    watch = await served.opened()
    await watch.frame()
    change = pb.ControlChange(name="zoom", value=1)
    await watch.send(change_controls=pb.ChangeControls(changes=[change]))
    answer = await watch.next("controls")
    assert answer.message == "this camera has no control 'zoom'; it has exposure"
    assert [control.name for control in answer.controls] == ["exposure"]


async def test_the_state_is_reported_as_it_changes(served: Served, in_a_hurry: None) -> None:
    watch = await served.opened()
    states = []
    while pb.CAMERA_STATE_LIVE not in states:
        states.append((await watch.next("state_changed")).camera.state)
    served.camera.unplug()
    while states[-1] != pb.CAMERA_STATE_LOST:
        changed = (await watch.next("state_changed")).camera
        states.append(changed.state)
    assert changed.state_reason == "the camera was unplugged"
    assert changed.HasField("last_frame_time")


async def test_a_lost_camera_shows_why_and_comes_back(served: Served, in_a_hurry: None) -> None:
    watch = await served.opened()
    good = await watch.picture()
    served.camera.unplug()
    stand_in = await watch.picture(placeholder=True)
    assert stand_in.sequence > good.sequence
    assert decoded(stand_in.data).shape == (stand_in.height_px, stand_in.width_px, 3)
    served.camera.plug_in()
    assert (await watch.picture()).data == PICTURE
    assert served.offered.camera.losses == 1


async def test_a_viewer_of_a_lost_camera_sees_so_at_once(served: Served, in_a_hurry: None) -> None:
    served.camera.be_held_by("motion (process 17)")
    watch = await served.opened()
    assert (await watch.frame()).is_placeholder
    other = await served.opened()
    assert (await other.frame()).is_placeholder


async def test_garbage_leaves_the_service_alive(served: Served, in_a_hurry: None) -> None:
    served.camera.give(b"", truncated(PICTURE), b"garbage")
    watch = await served.opened()
    assert (await watch.picture()).data == PICTURE
    assert (await served.stats()).bad_frames == 3


async def test_a_picture_that_cannot_be_decoded_is_one_bad_frame(served: Served) -> None:
    served.camera.still = None
    broken = jpeg_of(64, 48)
    at = broken.index(b"\xff\xc4") + 4
    served.camera.give(broken[:at] + b"\xff" * 17 + broken[at + 17 :])
    watch = await served.opened(view=pb.View(quality=50))
    await until(lambda: served.offered.captured.bad)
    served.camera.give(PICTURE)
    assert (await watch.frame()).width_px == 320


@pytest.mark.parametrize(
    ("first", "code", "text"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "must be `open`"),
        ({"acknowledge": pb.Acknowledge()}, grpc.StatusCode.INVALID_ARGUMENT, "must be `open`"),
        ({"open": pb.Open(camera_id="x")}, grpc.StatusCode.NOT_FOUND, "no camera 'x' here"),
        ({"open": pb.Open(window=4)}, grpc.StatusCode.INVALID_ARGUMENT, "open.window is 4"),
    ],
)
async def test_a_wrong_first_message_is_refused(
    served: Served, first: dict[str, Any], code: grpc.StatusCode, text: str
) -> None:
    watch = served.watch()
    await watch.send(**first)
    status, details = await failure_of(watch)
    assert status is code
    assert text in details


async def test_h264_is_refused_where_nothing_encodes_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h264, "_LIBRARY", "no_such_library")
    watch = served.watch()
    await watch.send(open=pb.Open(view=pb.View(format=pb.FORMAT_H264)))
    status, details = await failure_of(watch)
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert "no H264 encoder" in details
    assert "extra [h264]" in details


async def test_a_second_open_ends_the_stream(served: Served) -> None:
    watch = await served.opened()
    await watch.send(open=pb.Open())
    assert await failure_of(watch) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "`open` is allowed only as the first message",
    )
    await until(lambda: not served.offered.watchers)


async def test_open_must_come_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_message, "TIMEOUT_S", 0.05)
    watch = served.watch()
    await watch.call.wait_for_connection()
    code, text = await failure_of(watch)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "no `open` message arrived within 0.05 s"


async def test_a_viewer_too_many_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MOST_VIEWERS", 1)
    first = await served.opened()
    second = served.watch()
    await second.send(open=pb.Open())
    code, text = await failure_of(second)
    assert (code, text) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "camera 'bed' already has 1 viewers",
    )
    await first.end()
    await until(lambda: not served.offered.watchers)
    await served.opened()


async def test_a_client_that_half_closes_is_served_no_longer(served: Served) -> None:
    watch = await served.opened()
    await watch.call.done_writing()
    assert (await failure_of(watch))[0] is grpc.StatusCode.OK
    await until(lambda: not served.offered.watchers)


async def test_viewers_that_come_and_go_leave_nothing_behind(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        watches = [await served.opened() for _ in range(10)]
        await asyncio.gather(*(watch.frame() for watch in watches[::2]))
        await asyncio.gather(*(watch.end() for watch in watches))
    await until(lambda: not served.offered.watchers)
    assert not served.offered.camera.fanout.viewers
    await until(lambda: served.offered.camera.state is camera_module.CameraState.CLOSED)
    await until(lambda: all(source.closed for source in served.camera.sources))
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


async def test_a_service_that_stops_says_so_to_its_viewers(served: Served) -> None:
    watch = await served.opened()
    await served.registry.close()
    assert await failure_of(watch) == (grpc.StatusCode.UNAVAILABLE, "the service is stopping")


# Snapshot


async def test_a_snapshot_opens_the_camera_and_lets_it_go(served: Served) -> None:
    response = await served.stub.Snapshot(pb.SnapshotRequest(), timeout=TIMEOUT_S)
    assert decoded(response.frame.data).shape == (240, 320, 3)
    assert not served.offered.watchers
    await until(lambda: served.offered.camera.state is camera_module.CameraState.CLOSED)


async def test_a_snapshot_is_as_asked(served: Served) -> None:
    request = pb.SnapshotRequest(camera_id="bed", width_px=80, quality=30)
    frame = (await served.stub.Snapshot(request, timeout=TIMEOUT_S)).frame
    assert (frame.width_px, frame.height_px, frame.quality) == (80, 60, 30)


async def test_a_snapshot_is_fresh(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "SILENT_S", TIMEOUT_S)
    served.camera.still = None
    watch = await served.opened()
    served.camera.give(jpeg_of(shade=10))
    old = await watch.frame()
    await asyncio.sleep(0.02)
    request = pb.SnapshotRequest(max_age=Duration(nanos=10_000_000))
    asking = asyncio.ensure_future(served.stub.Snapshot(request, timeout=TIMEOUT_S))
    await until(lambda: len(served.offered.watchers) == 2)
    served.camera.give(jpeg_of(shade=200))
    assert (await asking).frame.sequence > old.sequence


async def test_there_is_no_snapshot_of_a_lost_camera(served: Served, in_a_hurry: None) -> None:
    served.camera.be_held_by("motion (process 17)")
    code, text = await failure(served.stub.Snapshot(pb.SnapshotRequest(), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "camera 'bed': motion (process 17) has it open"
    assert not served.offered.watchers


async def test_a_snapshot_waits_for_the_first_picture_of_a_camera_that_opens_slowly(
    served: Served, in_a_hurry: None
) -> None:
    served.camera.hang()
    asking = asyncio.ensure_future(
        served.stub.Snapshot(pb.SnapshotRequest(max_age=Duration(seconds=60)), timeout=TIMEOUT_S)
    )
    await until(lambda: served.offered.camera.state is camera_module.CameraState.LOST)
    await until(lambda: served.registry.get("bed").camera.reason != "")
    assert not asking.done()
    served.camera.go_on()
    frame = (await asking).frame
    assert not frame.is_placeholder
    assert decoded(frame.data).shape == (240, 320, 3)


async def test_a_camera_that_never_delivers_a_picture_has_no_snapshot(
    served: Served, in_a_hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "TIMEOUT_S", 1.0)
    served.camera.hang()
    code, text = await failure(served.stub.Snapshot(pb.SnapshotRequest(), timeout=TIMEOUT_S))
    served.camera.go_on()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "delivered no picture" in text


# Controls


async def test_controls_are_read_and_set(served: Served) -> None:
    await (await served.opened()).frame()
    found = await served.stub.GetControls(pb.GetControlsRequest(), timeout=TIMEOUT_S)
    assert [(each.name, each.automatic) for each in found.controls] == [("exposure", True)]
    request = pb.SetControlsRequest(changes=[pb.ControlChange(name="exposure", value=7)])
    changed = await served.stub.SetControls(request, timeout=TIMEOUT_S)
    assert (changed.controls[0].value, changed.controls[0].automatic) == (7, False)
    request = pb.SetControlsRequest(changes=[pb.ControlChange(name="exposure", automatic=True)])
    changed = await served.stub.SetControls(request, timeout=TIMEOUT_S)
    assert changed.controls[0].automatic


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (pb.ControlChange(name="exposure", value=5000), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ControlChange(name="exposure"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ControlChange(name="zoom", value=1), grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_a_wrong_change_is_refused(
    served: Served, change: pb.ControlChange, code: grpc.StatusCode
) -> None:
    await (await served.opened()).frame()
    request = pb.SetControlsRequest(changes=[change])
    assert (await failure(served.stub.SetControls(request, timeout=TIMEOUT_S)))[0] is code
    assert served.camera.controls["exposure"] == EXPOSURE


async def test_controls_of_a_closed_camera_are_unavailable(served: Served) -> None:
    code, _ = await failure(served.stub.GetControls(pb.GetControlsRequest(), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.UNAVAILABLE


# WatchStats


async def test_stats_show_what_each_viewer_gets(served: Served) -> None:
    low, jpeg = pb.PRIORITY_LOW, pb.FORMAT_JPEG
    asked = pb.View(width_px=160, fps=240, quality=40, format=jpeg, priority=low)
    watch = await served.opened(client_name="spectator", view=asked, window=2)
    for _ in range(10):
        await watch.frame()
    await until(lambda: served.offered.watchers[0].viewer.counters.acknowledged >= 10)
    stats = await served.stats()
    (viewer,) = stats.viewers
    assert viewer.client_name == "spectator"
    assert viewer.identity.startswith("usbshare://")
    assert viewer.peer.startswith("127.0.0.1:")
    assert viewer.asked == asked
    assert (viewer.given.width_px, viewer.given.quality, viewer.window) == (160, 40, 2)
    assert viewer.given.fps > 0
    assert viewer.sent_frames >= 10
    assert viewer.sent_bytes > 0
    assert viewer.acknowledge_time.count >= 10
    assert stats.captured_frames >= stats.encoded_frames >= 10
    assert stats.encode_time.mean.ToNanoseconds() > 0


async def test_stats_come_again_and_of_all_cameras(served: Served) -> None:
    served.registry.add(CameraConfig("a", "a", "fake://"), served.camera.make)
    call = served.stub.WatchStats(
        pb.WatchStatsRequest(interval=Duration(nanos=100_000_000)), timeout=TIMEOUT_S
    )
    first, second = await call.read(), await call.read()
    call.cancel()
    assert isinstance(first, pb.WatchStatsResponse)
    assert isinstance(second, pb.WatchStatsResponse)
    assert [each.camera_id for each in second.cameras] == ["a", "bed"]
    assert second.uptime.ToNanoseconds() > first.uptime.ToNanoseconds()


async def test_a_wrong_interval_is_refused(served: Served) -> None:
    request = pb.WatchStatsRequest(interval=Duration(nanos=1))
    code, _ = await failure(served.stub.WatchStats(request, timeout=TIMEOUT_S).read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


# Cameras that come and go


def found(camera_id: str) -> CameraFound:
    return CameraFound(camera_id, "a camera", "/dev/video0", "/dev/v4l/by-id/nothing")


async def test_cameras_are_offered_while_they_are_plugged_in(served: Served) -> None:
    served.registry.plugged_in([found("usb")])
    assert [each.id for each in served.registry.cameras] == ["bed", "usb"]
    served.registry.plugged_in([])
    assert [each.id for each in served.registry.cameras] == ["bed"]


async def test_an_unplugged_camera_stays_while_it_is_watched(served: Served) -> None:
    served.registry.plugged_in([found("usb")])
    watch = served.watch()
    await watch.send(open=pb.Open(camera_id="usb"))
    await watch.next("opened")
    served.registry.get("usb").camera.config = CameraConfig("usb", "", "", linger_s=0.0)
    served.registry.plugged_in([])
    assert [each.id for each in served.registry.cameras] == ["bed", "usb"]
    await watch.end()
    await until(lambda: [each.id for each in served.registry.cameras] == ["bed"])


async def test_one_of_several_cameras_must_be_named(served: Served) -> None:
    served.registry.add(CameraConfig("a", "a", "fake://"), served.camera.make)
    code, text = await failure(served.stub.Snapshot(pb.SnapshotRequest(), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.endswith("name one (camera_id, --camera): a, bed")


# The standard services


async def test_health_and_reflection_know_the_service(served: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    reply = await health.Check(
        health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=TIMEOUT_S
    )
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    channel: Any = served.channel
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(timeout=TIMEOUT_S)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    services = (await call.read()).list_services_response.service
    assert SERVICE_NAME in {each.name for each in services}
    call.cancel()


async def test_a_caller_without_a_certificate_sees_nothing(served: Served) -> None:
    async with grpc.aio.insecure_channel(str(served.target)) as channel:
        stub: Any = CameraServiceStub(channel)
        code, _ = await failure(stub.ListCameras(pb.ListCamerasRequest(), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.UNAVAILABLE
