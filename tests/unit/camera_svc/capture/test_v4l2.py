"""Of a V4L2 camera the modes, ranges and reasons are known, and its MJPEG comes untouched."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

from fakes.cameras import jpeg_of, noisy_jpeg
from fakes.v4l2_driver import (
    APERTURE_PRIORITY,
    CODEC,
    EXPOSURE,
    EXPOSURE_AUTO,
    GAIN,
    MANUAL,
    METADATA,
    FakeCapture,
    FakeDriver,
)
from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
)
from usbshare.camera_svc.capture.frame_source import Control, ControlChange, Mode, PixelFormat, Wish
from usbshare.camera_svc.capture.v4l2 import V4l2Device, is_camera
from usbshare.camera_svc.capture.v4l2_source import V4l2Source, choose_mode, holders_of

MJPEG, RAW = PixelFormat.MJPEG, PixelFormat.RAW
HD = Mode(1280, 720, 30, MJPEG)


class Rig:
    """A source on a fake driver, with who else has the device open."""

    def __init__(self, node: Path, driver: FakeDriver, frames: list[bytes], wish: Wish) -> None:
        self.driver = driver
        self.capture = FakeCapture(driver, frames)
        self.holders: list[str] = []
        self.source = V4l2Source(
            str(node),
            wish,
            None,
            V4l2Device(str(node), driver),
            lambda _: self.capture,
            lambda _: self.holders,
        )


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.touch()
    return path


@pytest.fixture
def rig(node: Path) -> Rig:
    return Rig(node, FakeDriver(), [noisy_jpeg()], Wish())


def test_all_modes_are_listed_mjpeg_and_big_ones_first(node: Path) -> None:
    device = V4l2Device(str(node), FakeDriver())
    device.open()
    modes = device.modes()
    device.close()
    assert len(modes) == 7
    assert modes[0] == Mode(1920, 1080, 30, MJPEG)
    assert modes[1] == Mode(1280, 720, 60, MJPEG)
    assert modes[-1] == Mode(640, 480, 15, RAW)


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        (Wish(), HD),
        (Wish(1920, 1080), Mode(1920, 1080, 30, MJPEG)),
        (Wish(1280, 720, 60), Mode(1280, 720, 60, MJPEG)),
        (Wish(640), Mode(640, 480, 30, MJPEG)),
        (Wish(4000, 3000), Mode(1920, 1080, 30, MJPEG)),
        (Wish(format=RAW), Mode(1280, 720, 10, RAW)),
    ],
)
def test_the_mode_closest_to_the_wish_is_chosen(node: Path, wish: Wish, chosen: Mode) -> None:
    device = V4l2Device(str(node), FakeDriver())
    device.open()
    assert choose_mode(device.modes(), wish) == chosen
    device.close()


def test_without_known_modes_the_wish_itself_is_asked_for() -> None:
    assert choose_mode((), Wish(800, 600, 5, RAW)) == Mode(800, 600, 5, RAW)
    assert choose_mode((), Wish()) == HD


def test_the_mode_is_set_and_mjpeg_comes_as_it_is(rig: Rig) -> None:
    jpeg = rig.capture.frames[0]
    opened = rig.source.open()
    assert opened.modes[0] == HD
    assert len(opened.modes) == 7
    assert rig.source.read().jpeg == jpeg


def test_the_driver_holds_no_more_than_the_frame_that_it_fills_and_one(rig: Rig) -> None:
    rig.source.open()
    assert rig.capture.properties[cv2.CAP_PROP_BUFFERSIZE] == 2


def test_a_camera_without_mjpeg_delivers_pixels(node: Path) -> None:
    driver = FakeDriver({b"YUYV": {(640, 480): (30,)}})
    rig = Rig(node, driver, [jpeg_of(640, 480)], Wish())
    assert rig.source.open().modes == (Mode(640, 480, 30, RAW),)
    pixels = rig.source.read().pixels
    assert pixels is not None
    assert pixels.shape == (480, 640, 3)


def test_a_frame_has_the_time_of_the_driver(rig: Rig) -> None:
    rig.source.open()
    rig.capture.taken_ms = 12_345.5
    assert rig.source.read().monotonic_ns == 12_345_500_000


def test_controls_have_their_ranges(rig: Rig) -> None:
    assert rig.source.open().controls == (
        Control("exposure", 3, 2047, 250, automatic=True, can_be_automatic=True),
        Control("gain", 0, 255, 64),
    )


def test_a_value_turns_the_automatic_off_first(rig: Rig) -> None:
    rig.source.open()
    rig.source.set_control(ControlChange("exposure", value=100))
    assert rig.driver.values[EXPOSURE_AUTO] == MANUAL
    assert rig.driver.values[EXPOSURE] == 100


def test_automatic_is_what_the_driver_has_of_it(rig: Rig) -> None:
    rig.source.open()
    rig.source.set_control(ControlChange("exposure", automatic=False))
    assert rig.driver.values == {EXPOSURE: 250, EXPOSURE_AUTO: MANUAL, GAIN: 64}
    rig.driver.refused = {(EXPOSURE_AUTO, APERTURE_PRIORITY)}
    rig.source.set_control(ControlChange("exposure", automatic=True))
    assert rig.driver.values[EXPOSURE_AUTO] == 0


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (ControlChange("exposure", 9000), InvalidArgumentError, "exposure must be 3 to 2047"),
        (ControlChange("focus", 3), NotFoundError, "no control 'focus'; it has exposure, gain"),
        (ControlChange("gain", automatic=True), NotSupportedError, "cannot choose gain"),
        (ControlChange("gain", 7), DeviceError, "the driver refused to set gain"),
    ],
)
def test_an_impossible_change_is_refused_with_a_message(
    rig: Rig, change: ControlChange, error: type[Exception], says: str
) -> None:
    rig.source.open()
    rig.driver.refused = {(GAIN, 7)}
    with pytest.raises(error, match=says):
        rig.source.set_control(change)


def test_an_absent_camera_is_said_to_be_absent(tmp_path: Path) -> None:
    source = V4l2Source(str(tmp_path / "video9"), Wish())
    with pytest.raises(DeviceError, match="video9 is absent"):
        source.open()


def test_a_held_camera_names_its_holder(rig: Rig) -> None:
    rig.capture.is_busy, rig.holders = True, ["obs (process 4711)"]
    with pytest.raises(DeviceError, match=r"cannot be opened: obs \(process 4711\) has it open"):
        rig.source.open()
    assert rig.capture.is_released


@pytest.mark.parametrize("kind", [METADATA, CODEC | 1])
def test_a_node_that_is_not_a_camera_is_not_opened(node: Path, kind: int) -> None:
    rig = Rig(node, FakeDriver(kind=kind), [], Wish())
    with pytest.raises(DeviceError, match="delivers no pictures"):
        rig.source.open()
    assert not is_camera(str(node), FakeDriver(kind=kind))
    assert is_camera(str(node), FakeDriver())


def test_a_node_that_cannot_be_asked_is_unknown(tmp_path: Path, node: Path) -> None:
    assert is_camera(str(tmp_path / "none"), FakeDriver()) is None
    gone = FakeDriver()
    gone.is_present = False
    assert is_camera(str(node), gone) is None


def test_an_unplugged_camera_says_so(rig: Rig) -> None:
    rig.source.open()
    rig.driver.is_present = False
    rig.capture.frames.clear()
    with pytest.raises(DeviceError, match="delivers no frames"):
        rig.source.read()
    with pytest.raises(DeviceError, match="unplugged"):
        rig.source.controls()


def test_closing_gives_everything_back(rig: Rig) -> None:
    before = os.listdir("/proc/self/fd")
    rig.source.open()
    rig.source.close()
    rig.source.close()
    assert rig.capture.is_released
    assert len(os.listdir("/proc/self/fd")) == len(before)
    with pytest.raises(DeviceError, match="not open"):
        rig.source.read()


def test_the_programs_that_have_a_device_open_are_found(tmp_path: Path, node: Path) -> None:
    for pid, target in ((17, node), (18, tmp_path / "other"), (os.getpid(), node)):
        fds = tmp_path / "proc" / str(pid) / "fd"
        fds.mkdir(parents=True)
        (fds / "3").symlink_to(target)
        (fds.parent / "comm").write_text("cheese\n")
    link = tmp_path / "by-id"
    link.symlink_to(node)
    assert holders_of(str(link), tmp_path / "proc") == ["cheese (process 17)"]
    assert holders_of(str(node), tmp_path / "no-proc") == []
