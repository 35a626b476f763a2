"""Whatever a camera does: viewers are told by a picture, it comes back by itself, all goes on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.cameras import (
    GARBAGE,
    FakeCamera,
    decoded,
    encoded,
    jpeg_of,
    noisy_jpeg,
    says_size,
    truncated,
)
from fakes.certificates import make_site
from fakes.served_camera import NAME, Screen, ServedCamera, served_camera
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.capture import camera as camera_module
from usbshare.camera_svc.capture import capture as capture_module
from usbshare.camera_svc.capture.camera import CameraState
from usbshare.camera_svc.capture.frame_source import Captured
from usbshare.camera_svc.picture.frame import Picture, Stamp
from usbshare.camera_svc.picture.placeholder import placeholder
from usbshare.camera_svc.viewers.viewer import View, Viewer

TIMEOUT_S = 60.0
TOLD_WITHIN_S = 2.0
EACH_S = 0.5
SPARE_S = 0.3  # to draw, send and show
PICTURE = noisy_jpeg()
SMALL = pb.View(width_px=160, is_fixed=True)


@pytest.fixture
def camera() -> FakeCamera:
    return FakeCamera(PICTURE)


@pytest.fixture
async def served(tmp_path: Path, camera: FakeCamera) -> AsyncIterator[ServedCamera]:
    async with served_camera(make_site(tmp_path), camera.make) as made:
        yield made
        camera.go_on()


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "SILENT_S", 0.2)
    monkeypatch.setattr(camera_module, "RETRY_S", 0.05)
    monkeypatch.setattr(camera_module, "PLACEHOLDER_S", 0.05)
    monkeypatch.setattr(camera_module, "HANGING_S", 0.3)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what camera-svc warned of; what tests before left running may log too."""
    return [
        each.getMessage()
        for each in caplog.records
        if each.levelno >= logging.WARNING and each.name.startswith("usbshare.camera_svc")
    ]


def captures() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "capture bed"}


async def still_serves(served: ServedCamera) -> pb.Camera:
    response = await served.stub.ListCameras(pb.ListCamerasRequest(), timeout=TIMEOUT_S)
    return response.cameras[0]


async def has_seen(screen: Screen, count: int) -> None:
    await until(lambda: screen.seen >= count)


def shown_for(screen: Screen) -> bytes:
    """Return the picture that tells what the service last said of the camera."""
    state, last = screen.states[-1], screen.last
    assert last is not None
    at = None
    if state.HasField("last_frame_time"):
        at = datetime.fromtimestamp(state.last_frame_time.ToNanoseconds() / 1e9, UTC)
    return placeholder(last.width_px, last.height_px, f"{NAME}: {state.state_reason}", at)


@dataclass(frozen=True)
class Fault:
    """What a camera does, how it stops doing so, and what is said of it."""

    begin: Callable[[FakeCamera], None]
    end: Callable[[FakeCamera], None]
    says: str

    def __repr__(self) -> str:
        return self.says


def delivers(jpeg: bytes, says: str) -> Fault:
    def begin(camera: FakeCamera) -> None:
        camera.still = jpeg

    def end(camera: FakeCamera) -> None:
        camera.still = PICTURE

    return Fault(begin, end, says)


def deliver_nothing(camera: FakeCamera) -> None:
    camera.still = None


def deliver_again(camera: FakeCamera) -> None:
    camera.still = PICTURE


FAULTS = {
    "truncated": delivers(truncated(PICTURE), "is cut off after"),
    "zero size": delivers(says_size(PICTURE, 0, 0), "size is 0x0"),
    "giant": delivers(says_size(PICTURE, 65000, 65000), "more than 64 megapixels"),
    "garbage": delivers(GARBAGE, "not with a JPEG's ffd8"),
    "empty": delivers(b"", "the picture is empty"),
    "nothing": Fault(deliver_nothing, deliver_again, "delivered no picture for"),
    "hangs": Fault(FakeCamera.hang, FakeCamera.go_on, "delivered no picture for"),
    "unplugged": Fault(FakeCamera.unplug, FakeCamera.plug_in, "was unplugged"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_reported_within_two_seconds_and_passes(
    served: ServedCamera, camera: FakeCamera, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    screen = await served.screen()
    await screen.until_good()
    fault.begin(camera)
    await screen.until_told()
    first = next(i for i, frame in enumerate(screen.frames) if frame.is_placeholder)
    print(f"told after {screen.arrived_s[first] - screen.arrived_s[first - 1]:.2f} s")
    assert camera_module.SILENT_S + SPARE_S <= TOLD_WITHIN_S
    await until(lambda: screen.states[-1].state == pb.CAMERA_STATE_LOST)
    assert fault.says in screen.states[-1].state_reason
    assert screen.frames[first].data == shown_for(screen)
    (said,) = warnings(caplog)
    assert fault.says in said
    assert (await still_serves(served)).state == pb.CAMERA_STATE_LOST
    fault.end(camera)
    assert (await screen.until_good()).data == PICTURE
    assert served.offered.camera.losses == 1
    assert len(warnings(caplog)) == 1


async def test_the_picture_of_a_fault_comes_again_each_second(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None
) -> None:
    screen = await served.screen()
    await screen.until_good()
    camera.unplug()
    await until(lambda: [frame.is_placeholder for frame in screen.frames[-5:]] == [True] * 5)
    sequences = [frame.sequence for frame in screen.frames]
    assert sequences == sorted(set(sequences))


async def test_a_camera_that_another_program_takes_says_which(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None
) -> None:
    screen = await served.screen()
    await screen.until_good()
    camera.unplug()
    await screen.until_told()
    camera.be_held_by("motion (process 17)")
    camera.plug_in()
    await until(
        lambda: (
            screen.states[-1].state_reason == "motion (process 17) has it open"
            and screen.is_told
            and screen.frames[-1].data == shown_for(screen)
        )
    )
    camera.be_held_by(None)
    assert (await screen.until_good()).data == PICTURE


async def test_a_camera_that_never_delivered_says_that_there_was_no_picture_yet(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None
) -> None:
    camera.be_held_by("motion (process 17)")
    screen = await served.screen()
    told = await screen.until_told()
    text = f"{NAME}: motion (process 17) has it open"
    assert told.data == placeholder(1280, 720, text, None)


async def test_a_viewer_arriving_during_a_fault_is_told_at_once(
    served: ServedCamera, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "SILENT_S", 0.2)
    monkeypatch.setattr(camera_module, "PLACEHOLDER_S", 1000.0)
    first = await served.screen()
    await first.until_good()
    camera.hang()
    await first.until_told()
    await (await served.screen(view=SMALL)).until_told()


async def test_good_pictures_among_bad_ones_are_shown(
    served: ServedCamera, camera: FakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    camera.still = None
    screen = await served.screen()
    for count in range(1, 11):
        camera.give(truncated(PICTURE), GARBAGE, b"", says_size(PICTURE, 0, 9), PICTURE)
        await has_seen(screen, count)
    assert all(frame.data == PICTURE for frame in screen.frames)
    assert served.offered.captured.bad == 40
    assert not warnings(caplog)


async def test_the_size_may_change_in_mid_stream(
    served: ServedCamera, camera: FakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    passing, scaled = await served.screen(), await served.screen(view=SMALL)
    for size in ((320, 240), (640, 360), (64, 48), (1920, 1080)):
        camera.still = jpeg_of(*size)

        def has_come(size: tuple[int, int] = size) -> bool:
            return all(
                screen.last is not None and (screen.last.width_px, screen.last.height_px) == asked
                for screen, asked in (
                    (passing, size),
                    (scaled, (min(160, size[0]), min(160, size[0]) * size[1] // size[0])),
                )
            )

        await until(has_come)
    assert served.offered.camera.losses == 0
    assert not warnings(caplog)


async def test_pixels_may_change_their_size_and_kind(
    served: ServedCamera, camera: FakeCamera
) -> None:
    camera.still = None
    screen = await served.screen()
    whole = decoded(PICTURE)
    camera.do(Captured(pixels=whole), Captured(pixels=whole[:, :, 0]), Captured())
    await until(lambda: served.offered.captured.bad == 2)
    camera.do(Captured(pixels=whole[:120, :160]))
    await until(lambda: screen.last is not None and screen.last.width_px == 160)


async def test_an_8k_picture_reaches_those_who_want_it_whole_and_small(
    served: ServedCamera, camera: FakeCamera
) -> None:
    camera.still = None
    whole, small = (
        await served.screen(),
        await served.screen(view=pb.View(width_px=640, is_fixed=True)),
    )
    huge = jpeg_of(7680, 4320)

    def has_come() -> bool:
        good = [frame for frame in small.frames if not frame.is_placeholder]
        sizes = {(frame.width_px, frame.height_px) for frame in good}
        return (640, 360) in sizes and any(frame.data == huge for frame in whole.frames)

    async with asyncio.timeout(TIMEOUT_S):
        while not has_come():  # a slow computer takes longer over one than a camera may be silent
            camera.give(huge)
            await asyncio.sleep(EACH_S)
    camera.still = PICTURE
    await until(lambda: whole.frames[-1].data == PICTURE)
    camera.unplug()
    await whole.until_told()


async def test_a_picture_that_fits_no_message_is_bad_and_ends_no_stream(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None, caplog: pytest.LogCaptureFixture
) -> None:
    screen = await served.screen()
    await screen.until_good()
    camera.still = noisy_jpeg(7680, 4320)
    await screen.until_told()
    assert "MiB" in warnings(caplog)[0]
    camera.still = PICTURE
    await screen.until_good()


async def test_pixels_that_fit_no_message_are_reported(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None, caplog: pytest.LogCaptureFixture
) -> None:
    camera.still = None
    screen = await served.screen(view=pb.View(is_fixed=True, quality=100))
    pixels = decoded(noisy_jpeg(7680, 4320))
    camera.do(Captured(pixels=pixels))
    await until(lambda: served.offered.captured.bad)
    camera.still = PICTURE
    await screen.until_good()


async def test_only_the_viewer_that_wants_the_impossible_is_told(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None, caplog: pytest.LogCaptureFixture
) -> None:
    whole, small = await served.screen(), await served.screen(view=SMALL)
    await asyncio.gather(whole.until_good(), small.until_good())
    at = PICTURE.index(b"\xff\xc4") + 4
    camera.still = PICTURE[:at] + b"\xff" * 17 + PICTURE[at + 17 :]
    for _ in range(3):
        seen = small.seen
        await has_seen(small, seen + 1)
        await small.until_told()
    assert len(warnings(caplog)) == 1
    assert "cannot be decoded" in warnings(caplog)[0]
    assert not any(frame.is_placeholder for frame in whole.frames)
    camera.still = PICTURE
    await small.until_good()
    assert not served.offered.camera.fanout.unserved


async def test_a_driver_that_hangs_for_long_costs_two_threads_at_most(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None, caplog: pytest.LogCaptureFixture
) -> None:
    others = captures()
    screen = await served.screen()
    await screen.until_good()
    camera.hang()
    await until(lambda: "the driver hangs" in screen.states[-1].state_reason)
    assert camera.blocked == served.offered.captured.abandoned == 2
    await until(lambda: len(captures() - others) == 2)  # one that gives up is still ending
    count = len(warnings(caplog))
    await until(lambda: [frame.is_placeholder for frame in screen.frames[-20:]] == [True] * 20)
    assert len(warnings(caplog)) == count <= 3
    camera.go_on()
    assert (await screen.until_good()).data == PICTURE
    await until(lambda: not camera.blocked)
    await until(lambda: all(source.closed == 1 for source in camera.sources[:-1]))


async def test_a_service_ends_while_a_driver_hangs(
    tmp_path: Path, camera: FakeCamera, in_a_hurry: None
) -> None:
    async with served_camera(make_site(tmp_path), camera.make) as served:
        screen = await served.screen()
        await screen.until_good()
        camera.hang()
        await screen.until_told()
        await asyncio.wait_for(served.registry.close(), TIMEOUT_S)
        assert served.offered.camera.state is CameraState.CLOSED
    camera.go_on()
    await until(lambda: not camera.blocked)


@pytest.mark.parametrize("error", [ValueError("bus error"), MemoryError(), DeviceError("EIO")])
async def test_any_error_of_a_driver_is_reported_once_and_retried(
    served: ServedCamera,
    camera: FakeCamera,
    error: Exception,
    in_a_hurry: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera.still = None
    screen = await served.screen()
    camera.do(*[error] * 10)
    await until(lambda: len(camera.sources) > 10)
    await screen.until_told()
    assert str(error) in screen.states[-1].state_reason
    assert len(warnings(caplog)) <= 2
    camera.still = PICTURE
    assert (await screen.until_good()).data == PICTURE


async def test_a_camera_that_comes_and_goes_all_the_time_leaves_nothing_behind(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None
) -> None:
    others = captures()
    screen = await served.screen()
    await screen.until_good()
    for _ in range(20):
        camera.unplug()
        await screen.until_told()
        camera.plug_in()
        await screen.until_good()
    assert served.offered.camera.losses == 20
    await until(lambda: all(source.closed == 1 for source in camera.sources[:-1]))
    assert len(captures() - others) == 1
    await screen.end()
    await until(lambda: served.offered.camera.state is CameraState.CLOSED)
    await until(lambda: camera.sources[-1].closed)


async def test_a_fault_of_one_camera_does_not_affect_another(
    served: ServedCamera, camera: FakeCamera, in_a_hurry: None
) -> None:
    other = FakeCamera(encoded(decoded(PICTURE), 30))
    served.registry.add(camera_module.CameraConfig("other", "other", "fake://"), other.make)
    bad, good = await served.screen(camera_id="bed"), await served.screen(camera_id="other")
    await asyncio.gather(bad.until_good(), good.until_good())
    camera.hang()
    await bad.until_told()
    seen = good.seen
    await until(lambda: good.seen > seen + 20)
    assert not any(frame.is_placeholder for frame in good.frames)


def test_garbage_does_not_take_the_processor() -> None:
    assert capture_module._AFTER_BAD_S >= 0.005


def test_no_link_is_too_slow_to_be_reported() -> None:
    now = [0.0]
    viewer = Viewer(View(), lambda: now[0], lambda: None, window=1)
    for sequence in range(1, 5):
        assert viewer.offer(*made(sequence, 1000))
        viewer.take()
        now[0] += 0.1
        viewer.acknowledged(sequence)
    assert not viewer.offer(*made(5, 50_000))
    assert viewer.offer(*made(6, 50_000, is_placeholder=True))


def made(sequence: int, length: int, *, is_placeholder: bool = False) -> tuple[Picture, bytes]:
    data = bytes(length)
    captured = Stamp(0.0, 0)
    picture = Picture(sequence, captured, 1280, 720, data, is_placeholder=is_placeholder)
    return picture, data
