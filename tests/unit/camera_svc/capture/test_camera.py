"""One camera's life: opened for viewers, lost and found again, closed after the last one left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from fakes.cameras import EXPOSURE, FakeCamera, FakeSource, jpeg_of
from fakes.waiting import until
from usbshare.base.errors import DeviceError, NotFoundError
from usbshare.camera_svc.capture import camera as module
from usbshare.camera_svc.capture.camera import Camera, CameraConfig, CameraState
from usbshare.camera_svc.capture.frame_source import Control, ControlChange, Opened
from usbshare.camera_svc.capture.registry import Encoding, OfferedCamera
from usbshare.camera_svc.picture.frame import Picture, Raw, Recipe, Stamp
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.stats import Client, Watcher
from usbshare.camera_svc.viewers.viewer import View, Viewer

NEVER = 3600.0


class FakeCapture:
    """A capture that says what the test says; remembers that it was started and stopped."""

    def __init__(self, camera: Camera, refuses: str = "") -> None:
        self.camera = camera
        self.refuses = refuses
        self.stopped = False
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    def start(self) -> None:
        if self.refuses:
            raise DeviceError(self.refuses)

    async def stop(self) -> None:
        self.stopped = True
        await self.lets_go.wait()


@dataclass
class Rig:
    """A camera between captures and viewers that the test plays."""

    linger_s: float = NEVER
    always_on: bool = False
    locks: tuple[ControlChange, ...] = ()
    source: str = "fake://"
    captures: list[FakeCapture] = field(default_factory=list)
    refuses: str = ""
    shown: list[str] = field(default_factory=list)
    states: list[CameraState] = field(default_factory=list)
    sequence: int = 0

    def __post_init__(self) -> None:
        config = CameraConfig(
            "bed", "the bed", self.source, self.always_on, self.linger_s, self.locks
        )
        self.executor = ThreadPoolExecutor(1)
        call_soon = asyncio.get_running_loop().call_soon_threadsafe
        fanout = Fanout(_make, self.executor, call_soon, lambda _: None)
        self.camera = Camera(config, self._capture, fanout, self._placeholder, self._changed)

    @property
    def capture(self) -> FakeCapture:
        return self.captures[-1]

    def join(self) -> Viewer:
        viewer = Viewer(View(), time.monotonic, lambda: None, 3)
        self.camera.join(viewer)
        return viewer

    def give(self) -> Raw:
        self.sequence += 1
        raw = Raw(self.sequence, Stamp(time.time(), time.monotonic_ns()), 64, 48, jpeg=b"jpeg")
        self.camera.captured(raw)
        return raw

    def _capture(self, camera: Camera) -> FakeCapture:
        self.captures.append(FakeCapture(camera, self.refuses))
        return self.captures[-1]

    def _placeholder(self, reason: str, last_good: Raw | None) -> Made:
        self.shown.append(reason)
        self.sequence += 1
        picture = Picture(self.sequence, Stamp(0, 0), 64, 48, b"no", is_placeholder=True)
        return picture, b"no"

    def _changed(self, camera: Camera) -> None:
        self.states.append(camera.state)


def _make(raw: Raw, recipe: Recipe) -> Made:
    return Picture(raw.sequence, raw.captured, raw.width, raw.height, b"yes"), b"yes"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let nothing happen by itself but what a test hurries."""

    def hurry(**seconds: float) -> None:
        for name, value in seconds.items():
            monkeypatch.setattr(module, name, value)

    hurry(SILENT_S=NEVER, RETRY_S=NEVER, PLACEHOLDER_S=NEVER, HANGING_S=NEVER)
    return hurry


@pytest.fixture
async def made() -> AsyncIterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**options: object) -> Rig:
        rigs.append(Rig(**options))  # type: ignore[arg-type]
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.camera.close()
        await asyncio.to_thread(rig.executor.shutdown)


async def test_the_first_viewer_opens_it_and_the_second_finds_it_open(
    made: Callable[..., Rig],
) -> None:
    rig = made()
    assert rig.camera.state is CameraState.CLOSED
    rig.join()
    rig.join()
    assert len(rig.captures) == 1
    rig.give()
    assert rig.states == [CameraState.OPENING, CameraState.LIVE]


async def test_a_camera_is_closed_some_time_after_the_last_viewer_left(
    made: Callable[..., Rig],
) -> None:
    rig = made(linger_s=0.0)
    first, second = rig.join(), rig.join()
    rig.give()
    rig.camera.leave(first)
    rig.camera.leave(second)
    assert rig.states[-1] is CameraState.LIVE
    await until(lambda: rig.capture.stopped)
    assert rig.camera.state is CameraState.CLOSED


async def test_a_viewer_that_comes_back_meanwhile_finds_it_open(
    made: Callable[..., Rig],
) -> None:
    rig = made(linger_s=0.02)
    rig.camera.leave(rig.join())
    rig.join()
    await asyncio.sleep(0.05)
    assert not rig.capture.stopped
    assert rig.camera.state is CameraState.OPENING


async def test_a_camera_is_not_reopened_before_it_is_closed(made: Callable[..., Rig]) -> None:
    rig = made(linger_s=0.0)
    first = rig.join()
    rig.capture.lets_go.clear()
    rig.camera.leave(first)
    await until(lambda: rig.capture.stopped)
    rig.join()
    await asyncio.sleep(0.05)
    assert len(rig.captures) == 1
    rig.capture.lets_go.set()
    await until(lambda: len(rig.captures) == 2)


async def test_an_always_on_camera_stays_open(made: Callable[..., Rig]) -> None:
    rig = made(linger_s=0.0, always_on=True)
    rig.camera.open()
    rig.camera.leave(rig.join())
    await asyncio.sleep(0.02)
    assert not rig.capture.stopped


async def test_silence_is_a_loss_and_a_frame_ends_it(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(SILENT_S=0.02)
    rig = made()
    viewer = rig.join()
    await until(lambda: rig.camera.state is CameraState.LOST)
    assert rig.shown[-1] == "the camera has delivered no picture for 0.02 s"
    taken = viewer.take()
    assert taken is not None
    assert taken[0].is_placeholder
    patient(SILENT_S=NEVER)
    rig.give()
    assert rig.camera.state is CameraState.LIVE
    assert (rig.camera.reason, rig.camera.losses) == ("", 1)


async def test_pictures_that_are_none_are_the_reason_of_a_silence(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(SILENT_S=0.02)
    rig = made()
    rig.join()
    rig.camera.bad_picture("the picture has no end")
    await until(lambda: rig.shown)
    assert rig.shown == ["the picture has no end"]


async def test_a_bad_picture_among_good_ones_is_forgotten(made: Callable[..., Rig]) -> None:
    rig = made()
    rig.join()
    rig.give()
    rig.camera.bad_picture("the picture has no end")
    rig.give()
    assert rig.camera.reason == ""


async def test_a_capture_that_ends_is_tried_again_until_it_delivers(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(RETRY_S=0.01)
    rig = made()
    rig.join()
    rig.give()
    for _ in range(3):
        rig.captures.clear()
        rig.camera.ended("the camera was unplugged")
        await until(lambda: rig.captures)
    assert (rig.camera.state, rig.camera.losses) == (CameraState.LOST, 1)
    rig.give()
    assert rig.camera.state is CameraState.LIVE


async def test_a_capture_that_cannot_begin_is_tried_again(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(RETRY_S=0.01)
    rig = made(refuses="the driver hangs")
    rig.join()
    assert rig.camera.reason == "the driver hangs"
    rig.refuses = ""
    await until(lambda: len(rig.captures) > 1)
    rig.give()
    assert rig.camera.state is CameraState.LIVE


async def test_a_capture_that_hangs_is_given_up(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(SILENT_S=0.01, HANGING_S=0.01)
    rig = made()
    rig.join()
    await until(lambda: len(rig.captures) > 1)
    assert rig.captures[0].stopped


async def test_the_placeholder_comes_again_while_the_camera_is_lost(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(PLACEHOLDER_S=0.01)
    rig = made()
    viewer = rig.join()
    rig.camera.ended("unplugged")
    for _ in range(3):
        await until(lambda: viewer.has_waiting)
        taken = viewer.take()
        assert taken is not None
        viewer.acknowledged(taken[0].sequence)
    rig.give()
    count = len(rig.shown)
    await asyncio.sleep(0.05)
    assert len(rig.shown) == count


async def test_a_lost_camera_without_viewers_is_closed_and_left_alone(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(RETRY_S=0.01)
    rig = made(linger_s=0.0)
    viewer = rig.join()
    rig.camera.ended("unplugged")
    rig.camera.leave(viewer)
    await until(lambda: rig.camera.state is CameraState.CLOSED)
    count = len(rig.captures)
    await asyncio.sleep(0.05)
    assert len(rig.captures) == count


async def test_a_password_in_the_source_is_never_shown(made: Callable[..., Rig]) -> None:
    source = "rtsp://me:secret@cam/1"
    rig = made(source=source)
    rig.join()
    rig.camera.ended(f"'{source}' cannot be opened")
    assert rig.camera.reason == "'rtsp://cam/1' cannot be opened"
    assert rig.camera.config.shown_source == "rtsp://cam/1"


async def test_controls_need_an_open_camera(made: Callable[..., Rig]) -> None:
    rig = made()
    with pytest.raises(DeviceError, match="is not open"):
        await rig.camera.controls()


async def test_locks_are_set_at_each_opening(made: Callable[..., Rig]) -> None:
    lock, unknown = ControlChange("exposure", 100, False), ControlChange("zoom", 1)
    rig, camera = made(locks=(unknown, lock)), FakeCamera()
    for _ in range(2):
        rig.join()
        camera.controls = {EXPOSURE.name: EXPOSURE}
        camera.changes.clear()
        rig.camera.opened(Opened(), camera.make())
        await until(lambda: camera.changes == [unknown, lock])
        await until(lambda: [each.value for each in rig.camera.known_controls] == [100])
        rig.camera.ended("unplugged")


async def test_the_first_change_that_fails_ends_the_changes(made: Callable[..., Rig]) -> None:
    rig, camera = made(), FakeCamera()
    rig.join()
    rig.camera.opened(Opened(), camera.make())
    wrong, right = ControlChange("zoom", 1), ControlChange("exposure", 100)
    with pytest.raises(NotFoundError):
        await rig.camera.change_controls((wrong, right))
    assert camera.changes == [wrong]


async def test_a_driver_that_hangs_in_a_control_blocks_no_caller(
    made: Callable[..., Rig], patient: Callable[..., None]
) -> None:
    patient(CONTROL_TIMEOUT_S=0.05)
    rig, driver = made(), HangingDriver()
    rig.join()
    rig.camera.opened(Opened(), driver)
    for _ in range(4):
        with pytest.raises(DeviceError, match="does not answer within"):
            await rig.camera.controls()
    with pytest.raises(DeviceError, match="its driver hangs"):
        await rig.camera.controls()
    driver.goes_on.set()
    await until(lambda: "ask bed" not in {thread.name for thread in threading.enumerate()})
    assert driver.answered == 4
    assert await rig.camera.controls() == ()


class HangingDriver(FakeSource):
    """A source whose controls cannot be read until it goes on."""

    def __init__(self) -> None:
        super().__init__(FakeCamera())
        self.goes_on = threading.Event()
        self.answered = 0

    def controls(self) -> tuple[Control, ...]:
        self.goes_on.wait(60)
        self.answered += 1
        return ()


# With a capture's real thread


@pytest.fixture
async def offered() -> AsyncIterator[tuple[OfferedCamera, FakeCamera]]:
    camera, executor = FakeCamera(jpeg_of()), ThreadPoolExecutor(1)
    encoding = Encoding(executor, 1, lambda picture: picture.data)
    config = CameraConfig("bed", "the bed", "fake://")
    one = OfferedCamera(config, camera.make, encoding, lambda _: None)
    yield one, camera
    camera.go_on()
    await one.camera.close()
    await asyncio.to_thread(executor.shutdown)


class Audience:
    """A viewer that takes and acknowledges everything, and remembers it."""

    def __init__(self, offered: OfferedCamera) -> None:
        self.pictures: list[Picture] = []
        self.viewer = Viewer(View(), time.monotonic, self._wake, 3)
        self.offered = offered
        offered.join(Watcher(Client("test", "me", "here"), self.viewer, lambda: None))

    def _wake(self) -> None:
        while (taken := self.viewer.take()) is not None:
            self.pictures.append(taken[0])
            self.viewer.acknowledged(taken[0].sequence)

    @property
    def sees_placeholder(self) -> bool:
        return bool(self.pictures) and self.pictures[-1].is_placeholder


async def test_a_driver_that_hangs_leaves_the_camera_to_come_back(
    offered: tuple[OfferedCamera, FakeCamera], patient: Callable[..., None]
) -> None:
    patient(SILENT_S=0.1, HANGING_S=0.05, RETRY_S=0.02, PLACEHOLDER_S=0.02)
    one, camera = offered
    audience = Audience(one)
    await until(lambda: len(audience.pictures) > 2)
    camera.hang()
    await until(lambda: audience.sees_placeholder)
    await until(lambda: one.captured.abandoned == 2)
    await until(lambda: "the driver hangs" in one.camera.reason)
    camera.go_on()
    await until(lambda: not audience.sees_placeholder)
    sequences = [picture.sequence for picture in audience.pictures]
    assert sequences == sorted(set(sequences))
    assert one.camera.losses == 1


async def test_a_picture_of_another_size_in_mid_stream_is_just_the_next(
    offered: tuple[OfferedCamera, FakeCamera],
) -> None:
    one, camera = offered
    audience = Audience(one)
    await until(lambda: audience.pictures)
    camera.still = jpeg_of(640, 480)
    await until(lambda: audience.pictures[-1].width == 640)
    assert one.camera.losses == 0


async def test_the_placeholder_has_the_size_of_the_last_picture(
    offered: tuple[OfferedCamera, FakeCamera], patient: Callable[..., None]
) -> None:
    one, camera = offered
    audience = Audience(one)
    await until(lambda: audience.pictures)
    camera.unplug()
    await until(lambda: audience.sees_placeholder)
    assert (audience.pictures[-1].width, audience.pictures[-1].height) == (320, 240)
