"""Video files and network streams by OpenCV's FFmpeg, and cameras that only have a number.

Motion JPEG of files and streams is not decoded.
"""

from __future__ import annotations

import os
from typing import cast

import cv2

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.controls import changed
from usbshare.camera_svc.capture.frame_rate import Pace
from usbshare.camera_svc.capture.frame_source import (
    Captured,
    Control,
    ControlChange,
    Mode,
    Opened,
    PixelFormat,
)
from usbshare.camera_svc.picture.frame import Pixels

_NETWORK_TIMEOUT_MS = 5000
_DEFAULT_FPS, _SLOWEST_FPS, _FASTEST_FPS = 30.0, 2.0, 240.0
# Threads that decode ahead hold pictures back, one each.
_SETTINGS = [cv2.CAP_PROP_N_THREADS, 1]
_NETWORK_SETTINGS = [
    *_SETTINGS,
    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
    _NETWORK_TIMEOUT_MS,
    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
    _NETWORK_TIMEOUT_MS,
]


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr what is raised as an error; before opening."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoSource:
    """Plays a recording at its own rate, over and over, or a live stream as it comes."""

    def __init__(self, target: str | int, fps: float = 0.0) -> None:
        self._target = target
        self._fps = fps
        self._capture: cv2.VideoCapture | None = None
        self._pace: Pace | None = None
        self._format = PixelFormat.RAW

    def open(self) -> Opened:
        """Open the file or connect; DeviceError, after 5 s where the network does not answer."""
        self._capture = capture = _capture(self._target)
        if not capture.isOpened():
            self.close()
            raise DeviceError(
                f"'{self._target}' cannot be opened: it does not exist or is not a video"
            )
        mode = self._mode(capture)
        if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            self._pace = Pace(mode.fps)
        return Opened((mode,))

    def read(self) -> Captured:
        """Return the next frame, of a recording when it is due; DeviceError if there is none."""
        if self._capture is None:
            raise DeviceError(f"'{self._target}' is not open")
        if self._pace is not None:
            self._pace.wait()
        has_one, frame = self._capture.read()
        if not has_one:
            has_one, frame = self._read_from_start(self._capture)
        if not has_one:
            raise DeviceError(f"'{self._target}' delivers no more frames")
        if self._format is PixelFormat.MJPEG:
            return Captured(jpeg=frame.tobytes())
        return Captured(pixels=cast(Pixels, frame))

    def controls(self) -> tuple[Control, ...]:
        """Return none: FFmpeg has no controls."""
        return ()

    def set_control(self, change: ControlChange) -> None:
        """Raise NotFoundError."""
        changed((), change)

    def close(self) -> None:
        """Close the file or connection."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _mode(self, capture: cv2.VideoCapture) -> Mode:
        self._format = _deliver_as_it_is(capture)
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._fps or capture.get(cv2.CAP_PROP_FPS)
        if not _SLOWEST_FPS <= fps <= _FASTEST_FPS:
            fps = _DEFAULT_FPS
        return Mode(width, height, fps, self._format)

    def _read_from_start(self, capture: cv2.VideoCapture) -> tuple[bool, cv2.typing.MatLike]:
        if self._pace is not None:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        return capture.read()


def _capture(target: str | int) -> cv2.VideoCapture:
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    settings = _NETWORK_SETTINGS if "://" in target else _SETTINGS
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, settings)


def _deliver_as_it_is(capture: cv2.VideoCapture) -> PixelFormat:
    """Ask for motion JPEG undecoded; return what will come."""
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    is_by_ffmpeg = capture.getBackendName() == "FFMPEG"
    if is_by_ffmpeg and codec.upper() == b"MJPG" and capture.set(cv2.CAP_PROP_FORMAT, -1):
        return PixelFormat.MJPEG
    return PixelFormat.RAW
