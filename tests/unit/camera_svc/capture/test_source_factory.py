"""A source is a device, a file, a URL or a simulation; recordings play over and over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakes.cameras import decoded, jpeg_of, noisy_jpeg, truncated
from fakes.clock import FakeClock
from usbshare.base.errors import ConfigError, DeviceError, InvalidArgumentError, NotFoundError
from usbshare.camera_svc.capture.frame_rate import Pace
from usbshare.camera_svc.capture.frame_source import ControlChange, Mode, PixelFormat, Source, Wish
from usbshare.camera_svc.capture.mjpeg_source import MjpegSource
from usbshare.camera_svc.capture.source_factory import check_source, is_device, source_maker
from usbshare.camera_svc.capture.v4l2_source import V4l2Source
from usbshare.camera_svc.capture.video_source import VideoSource
from usbshare.camera_svc.picture.jpeg import BadPictureError, check_jpeg
from usbshare.camera_svc.sim.bed import read_stamp
from usbshare.camera_svc.sim.source import SimSource
from usbshare.camera_svc.sim.url import SimUrl, parse_sim_url

PICTURES = [noisy_jpeg(64, 48, seed) for seed in range(3)]
FAST = Wish(fps=200)


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    """Five grey frames, brighter and brighter, as motion JPEG at 50 a second."""
    return video(tmp_path / "bed.avi", "MJPG")


def video(path: Path, code: str) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 50, (320, 240))
    assert writer.isOpened()
    for shade in range(5):
        writer.write(np.full((240, 320, 3), 40 * shade + 20, np.uint8))
    writer.release()
    return path


def opened(source: str, wish: Wish = FAST) -> Source:
    made = source_maker(source, wish)()
    made.open()
    return made


def jpegs(source: Source, count: int) -> list[bytes]:
    found = [source.read().jpeg for _ in range(count)]
    source.close()
    return [jpeg for jpeg in found if jpeg is not None]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("sim://bed", SimSource),
        ("0", V4l2Source),
        ("/dev/video2", V4l2Source),
        ("/dev/v4l/by-id/usb-046d_Cam-video-index0", V4l2Source),
        ("/home/me/bed.mjpeg", MjpegSource),
        ("/home/me/bed.mp4", VideoSource),
        ("file:///home/me/bed.mp4", VideoSource),
        ("http://printer:8080/?action=stream", VideoSource),
        ("rtsp://printer/live", VideoSource),
    ],
)
def test_each_kind_of_source_is_reported_by_its_text(source: str, kind: type) -> None:
    assert isinstance(source_maker(source, Wish())(), kind)


def test_devices_are_distinguished_from_other_nodes() -> None:
    assert is_device("0")
    assert is_device("/dev/video0")
    assert not is_device("sim://bed")
    assert not is_device("bed.avi")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "not empty"),
        ("gopher://bed", "scheme gopher is not one of sim, file, http"),
        ("sim://moon", "the only simulated camera is sim://bed"),
        ("sim://bed?depth=3", "'depth' is not an option; the options are width, height, fps"),
        ("sim://bed?width=wide", "width must be 160 to 7680, not 'wide'"),
        ("sim://bed?fps=0", "fps must be 2 to 240"),
        ("sim://bed?format=gif", "format must be mjpeg or raw, not 'gif'"),
        ("sim://bed?width=1280&height=200", "at most 4 times the height"),
    ],
)
def test_an_invalid_source_is_refused_with_valid_forms(source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_source(source)


def test_a_sim_url_has_defaults_and_options() -> None:
    assert parse_sim_url("sim://bed") == SimUrl(1280, 720, 30, PixelFormat.RAW)
    url = "sim://bed?width=640&height=480&fps=15&format=mjpeg"
    assert parse_sim_url(url) == SimUrl(640, 480, 15, PixelFormat.MJPEG)


@pytest.mark.parametrize("form", ["raw", "mjpeg"])
def test_the_simulated_bed_says_number_and_time_in_its_pictures(form: str) -> None:
    bed = source_maker(f"sim://bed?width=640&height=360&fps=100&format={form}", Wish())()
    (mode,) = bed.open().modes
    assert mode == Mode(640, 360, 100, PixelFormat(form))
    before_ms = int(time.time() * 1000)
    stamps = []
    for _ in range(3):
        captured = bed.read()
        pixels = decoded(captured.jpeg) if captured.jpeg else captured.pixels
        assert pixels is not None
        assert (captured.jpeg is None) is (form == "raw")
        assert captured.monotonic_ns is not None
        stamps.append(read_stamp(pixels))
    bed.close()
    assert [frame for frame, _ in stamps] == [1, 2, 3]
    assert before_ms <= stamps[0][1] < stamps[2][1] <= time.time() * 1000


def test_the_simulated_beds_controls_show_in_the_picture() -> None:
    bed = opened("sim://bed?width=320&height=240&fps=200")
    before = bed.read().pixels
    bed.set_control(ControlChange("exposure", value=50))
    after = bed.read().pixels
    assert before is not None
    assert after is not None
    assert after[60:].mean() < before[60:].mean() / 2
    exposure = bed.controls()[0]
    assert (exposure.value, exposure.automatic) == (50, False)
    bed.set_control(ControlChange("exposure", automatic=True))
    again = bed.read().pixels
    assert again is not None
    assert again[60:].mean() == pytest.approx(before[60:].mean(), abs=1)
    with pytest.raises(InvalidArgumentError, match="gain must be 0 to 100"):
        bed.set_control(ControlChange("gain", value=1000))
    with pytest.raises(NotFoundError, match="no control 'zoom'"):
        bed.set_control(ControlChange("zoom", value=1))
    bed.close()
    with pytest.raises(DeviceError):
        bed.read()


def test_a_file_of_jpegs_comes_byte_for_byte_over_and_over(tmp_path: Path) -> None:
    path = tmp_path / "bed.mjpeg"
    path.write_bytes(b"".join(PICTURES))
    source = source_maker(str(path), Wish(fps=100))()
    assert source.open().modes == (Mode(64, 48, 100, PixelFormat.MJPEG),)
    assert jpegs(source, 7) == [*PICTURES, *PICTURES, PICTURES[0]]


def test_a_folder_of_jpegs_comes_by_name(tmp_path: Path) -> None:
    for name, picture in zip(("b.jpg", "a.JPEG", "c.jpg"), PICTURES, strict=True):
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "notes.txt").write_text("no picture")
    source = opened(str(tmp_path))
    order = [PICTURES[1], PICTURES[0], PICTURES[2]]
    assert jpegs(source, 4) == [*order, order[0]]


def test_a_broken_picture_in_a_file_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "bed.mjpg"
    path.write_bytes(b"junk" + PICTURES[0] + truncated(PICTURES[1]) + PICTURES[2] + b"more junk")
    found = jpegs(opened(str(path)), 3)
    assert (found[0], found[2]) == (PICTURES[0], PICTURES[2])
    with pytest.raises(BadPictureError, match="cut off"):
        check_jpeg(found[1])


@pytest.mark.parametrize("content", [b"", b"no picture at all", truncated(PICTURES[0])])
def test_a_file_without_pictures_cannot_be_played(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bed.mjpeg"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"bed.mjpeg' cannot be played"):
        opened(str(path))


def test_an_absent_file_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No such file"):
        opened(str(tmp_path / "none.mjpeg"))
    with pytest.raises(DeviceError, match="cannot be opened"):
        opened(str(tmp_path / "none.avi"))


def test_a_picture_that_vanishes_from_a_folder_is_an_error_of_the_source(tmp_path: Path) -> None:
    for number, picture in enumerate(PICTURES):
        (tmp_path / f"{number}.jpg").write_bytes(picture)
    source = opened(str(tmp_path))
    (tmp_path / "1.jpg").unlink()
    source.read()
    with pytest.raises(DeviceError, match="cannot be read"):
        source.read()


def test_motion_jpeg_in_a_video_file_is_not_decoded(avi: Path) -> None:
    source = source_maker(str(avi), Wish())()
    assert source.open().modes == (Mode(320, 240, 50, PixelFormat.MJPEG),)
    found = jpegs(source, 12)
    assert [check_jpeg(jpeg) for jpeg in found] == [(320, 240)] * 12
    assert found[:5] == found[5:10]
    assert len(set(found[:5])) == 5


def test_another_video_file_comes_as_pixels_from_the_start_again(tmp_path: Path) -> None:
    source = opened(f"file://{video(tmp_path / 'bed.mp4', 'mp4v')}", Wish())
    shades = [int(pixels.mean()) for _ in range(7) if (pixels := source.read().pixels) is not None]
    source.close()
    assert shades[:5] == sorted(shades[:5])
    assert shades[5:] == shades[:2]


def test_a_file_that_is_no_video_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "bed.mp4"
    path.write_bytes(b"no video" * 1000)
    with pytest.raises(DeviceError, match="does not exist or is not a video"):
        opened(str(path))


class Stream(BaseHTTPRequestHandler):
    """Sends some pictures as multipart, as IP cameras do, and then ends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for picture in PICTURES * 3:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def camera_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stream"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_stream_of_an_ip_camera_comes_byte_for_byte_until_it_ends(camera_url: str) -> None:
    source = opened(camera_url, Wish())
    found: list[bytes | None] = []
    with pytest.raises(DeviceError, match="delivers no more frames"):
        found.extend(iter(lambda: source.read().jpeg, None))
    source.close()
    assert len(found) >= 8  # FFmpeg may take the last for unfinished
    assert all(picture in PICTURES for picture in found)


def test_a_closed_port_cannot_be_opened() -> None:
    with pytest.raises(DeviceError, match="cannot be opened"):
        opened("http://127.0.0.1:9/stream", Wish())


@pytest.mark.parametrize("source", ["bed.avi", "bed.mjpeg"])
def test_recordings_have_no_controls(tmp_path: Path, avi: Path, source: str) -> None:
    (tmp_path / "bed.mjpeg").write_bytes(jpeg_of())
    made = opened(str(tmp_path / source))
    assert made.controls() == ()
    with pytest.raises(NotFoundError, match="no control 'gain'; it has none"):
        made.set_control(ControlChange("gain", value=1))
    made.close()
    with pytest.raises(DeviceError, match="not open"):
        made.read()


class WaitingClock(FakeClock):
    """Goes on by what is waited, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds)


def test_frames_are_due_at_even_times() -> None:
    clock = WaitingClock()
    pace = Pace(10, clock, clock.wait)
    pace.wait()
    clock.advance(0.03)
    pace.wait()
    assert clock.waits == [pytest.approx(0.07)]


def test_a_late_frame_is_not_followed_by_a_burst() -> None:
    clock = WaitingClock()
    pace = Pace(10, clock, clock.wait)
    pace.wait()
    clock.advance(5)
    pace.wait()
    pace.wait()
    pace.wait()
    assert clock.waits == [pytest.approx(0.1)]
