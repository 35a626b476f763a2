"""A camera of Linux: OpenCV captures, a node beside it lists modes and sets controls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import cv2

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.device_guard import CameraGuard
from usbshare.camera_svc.capture.frame_source import (
    Captured,
    Control,
    ControlChange,
    Mode,
    Opened,
    PixelFormat,
    Wish,
)
from usbshare.camera_svc.capture.v4l2 import V4l2Device

_PROC = Path("/proc")


def holders_of(path: str, proc: Path = _PROC) -> list[str]:
    """Return the other programs that have the device open, as `name (process 17)`."""
    device = os.path.realpath(path)
    own = os.getpid()
    pids = sorted(int(each.name) for each in proc.glob("[0-9]*") if each.name.isdecimal())
    return [_named(proc, pid) for pid in pids if pid != own and _has_open(proc, pid, device)]


def _has_open(proc: Path, pid: int, device: str) -> bool:
    try:
        return any(os.readlink(link) == device for link in (proc / str(pid) / "fd").iterdir())
    except OSError:  # of another account, or gone meanwhile
        return False


def _named(proc: Path, pid: int) -> str:
    try:
        name = (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        name = "a program"
    return f"{name} (process {pid})"


_DEFAULT_WIDTH, _DEFAULT_HEIGHT, _DEFAULT_FPS = 1280, 720, 30.0


def choose_mode(modes: Iterable[Mode], wish: Wish) -> Mode:
    """Return the closest mode: by format, then size, then rate; the wish itself if none is known.

    Without a wish it is MJPEG, which passes through undecoded, of 1280x720 at 30 a second.
    """
    wanted = _completed(wish)
    return min(modes, key=lambda mode: _distance(mode, wanted), default=wanted)


def _completed(wish: Wish) -> Mode:
    width, height = wish.width, wish.height
    if not width and not height:
        width, height = _DEFAULT_WIDTH, _DEFAULT_HEIGHT
    return Mode(
        width or height * _DEFAULT_WIDTH // _DEFAULT_HEIGHT,
        height or width * _DEFAULT_HEIGHT // _DEFAULT_WIDTH,
        wish.fps or _DEFAULT_FPS,
        wish.format or PixelFormat.MJPEG,
    )


def _distance(mode: Mode, wanted: Mode) -> tuple[bool, int, float]:
    size = abs(mode.width - wanted.width) + abs(mode.height - wanted.height)
    return mode.format is not wanted.format, size, abs(mode.fps - wanted.fps)


# With one buffer the driver has none to fill while a frame is taken, and every other one is lost;
# with two a frame waits only for the thread that reads without pause.
_BUFFERS = 2
_MJPEG_CODES = tuple(cv2.VideoWriter.fourcc(*code) for code in ("MJPG", "JPEG"))


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: D102, N802  # OpenCV's names
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, propId: int) -> float: ...  # noqa: D102, N803
    def set(self, propId: int, value: float) -> bool: ...  # noqa: D102, N803
    def release(self) -> None: ...  # noqa: D102


def open_capture(path: str) -> Capture:
    """Open a device node by OpenCV."""
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


class V4l2Source:
    """Source on a device node or a by-id or by-path link to it."""

    def __init__(
        self,
        path: str,
        wish: Wish,
        guard: CameraGuard | None = None,
        device: V4l2Device | None = None,
        open_capture: Callable[[str], Capture] = open_capture,
        holders_of: Callable[[str], list[str]] = holders_of,
    ) -> None:
        self._source = self._path = path
        self._wish = wish
        self._guard = guard
        self._device = device or V4l2Device(path)
        self._open_capture = open_capture
        self._holders_of = holders_of
        self._capture: Capture | None = None
        self._format = PixelFormat.RAW
        self._device_lock = threading.Lock()

    def open(self) -> Opened:
        """Open the camera in the mode that comes closest to the wish."""
        try:
            return self._open()
        except BaseException:
            self.close()
            raise

    def read(self) -> Captured:
        """Return the next frame; DeviceError once OpenCV gave up, 10 s without one."""
        capture = self._require_open()
        has_one, frame = capture.read()
        if not has_one or frame is None:
            raise DeviceError(f"{self._path} delivers no frames: {self._why_not()}")
        taken_ns = int(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if self._format is PixelFormat.MJPEG and frame.shape[-1] != 3:
            return Captured(jpeg=frame.tobytes(), monotonic_ns=taken_ns)
        return Captured(pixels=frame, monotonic_ns=taken_ns)

    def controls(self) -> tuple[Control, ...]:
        """Return the controls as the driver has them."""
        with self._device_lock:
            return self._device.controls()

    def set_control(self, change: ControlChange) -> None:
        """Change one control, beside the capture."""
        with self._device_lock:
            self._device.set_control(change)

    def close(self) -> None:
        """Give the camera back."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
        with self._device_lock:
            self._device.close()

    def _open(self) -> Opened:
        self._open_own()
        if not self._device.captures():
            raise DeviceError(f"{self._path} delivers no pictures: it is another kind of device")
        modes, controls = self._device.modes(), self.controls()
        # OpenCV opens by name: that of the node which is open here, not of a link that may move.
        node = os.path.realpath(f"/proc/self/fd/{self._device.descriptor}")
        self._capture = self._open_capture(node if os.path.exists(node) else self._path)
        self._require_same(node)
        if not self._capture.isOpened():
            raise DeviceError(f"{self._path} cannot be opened: {self._why_not()}")
        used = self._set_mode(self._capture, choose_mode(modes, self._wish))
        return Opened((used, *(mode for mode in modes if mode != used)), controls)

    def _open_own(self) -> None:
        """Open the node beside the capture, if it is the camera's own device."""
        if self._guard is None:
            self._device.open()
            return
        self._path = self._guard.locate(self._source)
        self._guard.before_open(self._path)
        self._device.open(self._path)
        self._guard.after_open(self._path, self._device.descriptor)

    def _require_same(self, node: str) -> None:
        """Raise DeviceError if another camera got the node before OpenCV opened it."""
        if self._guard is None:
            return
        self._device.captures()  # fails if ours was unplugged; else no other can have its number
        opened, named = os.fstat(self._device.descriptor), os.stat(node)
        if opened.st_rdev != named.st_rdev:
            raise DeviceError(f"{self._path} is now another device: opening it again")

    def _set_mode(self, capture: Capture, mode: Mode) -> Mode:
        """Ask for a mode and return the one that the driver took."""
        if mode.format is PixelFormat.MJPEG:
            capture.set(cv2.CAP_PROP_FOURCC, _MJPEG_CODES[0])
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
        capture.set(cv2.CAP_PROP_FPS, mode.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        if not capture.isOpened():
            raise DeviceError(f"{self._path} refused its mode: {self._why_not()}")
        return self._used_mode(capture)

    def _used_mode(self, capture: Capture) -> Mode:
        self._format = PixelFormat.RAW
        if int(capture.get(cv2.CAP_PROP_FOURCC)) in _MJPEG_CODES:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
            self._format = PixelFormat.MJPEG
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        return Mode(width, height, max(0.0, capture.get(cv2.CAP_PROP_FPS)), self._format)

    def _why_not(self) -> str:
        if holders := self._holders_of(self._path):
            return f"{', '.join(holders)} has it open"
        return "it is unplugged, held by a program of another account, or speaks no known format"

    def _require_open(self) -> Capture:
        if self._capture is None:
            raise DeviceError(f"{self._path} is not open")
        return self._capture
