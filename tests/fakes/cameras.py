"""Cameras that do what real ones do at their worst, and remember what was asked of them."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TypeAlias

import cv2
import numpy as np

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.controls import changed
from usbshare.camera_svc.capture.frame_source import (
    Captured,
    Control,
    ControlChange,
    Mode,
    Opened,
    PixelFormat,
)

GARBAGE = bytes(range(256)) * 40
MODE = Mode(320, 240, 30, PixelFormat.MJPEG)
EXPOSURE = Control("exposure", 1, 1000, 250, automatic=True, can_be_automatic=True)

_FRAME_HEADER = b"\xff\xc0\x00\x11\x08"
_MOST_WAIT_S = 60
_FRAME_S = 0.005


def jpeg_of(width: int = 320, height: int = 240, shade: int = 128) -> bytes:
    """Return a whole picture of one grey."""
    return encoded(np.full((height, width, 3), shade, np.uint8))


def noisy_jpeg(width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Return a whole picture with coded data all over."""
    return encoded(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def encoded(pixels: np.ndarray, quality: int = 80) -> bytes:
    """Return the pixels as JPEG."""
    is_done, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert is_done
    return jpeg.tobytes()


def decoded(jpeg: bytes) -> np.ndarray:
    """Return the pixels of a JPEG."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def truncated(jpeg: bytes) -> bytes:
    """Return the first two thirds, as a transfer that broke off."""
    return jpeg[: len(jpeg) * 2 // 3]


def says_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Return the picture with another size in its header."""
    at = jpeg.index(_FRAME_HEADER) + len(_FRAME_HEADER)
    return jpeg[:at] + height.to_bytes(2) + width.to_bytes(2) + jpeg[at + 4 :]


def without_tables(jpeg: bytes) -> bytes:
    """Return the picture as motion JPEG cameras send it: without Huffman tables."""
    while (at := jpeg.find(b"\xff\xc4")) >= 0:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        jpeg = jpeg[:at] + jpeg[end:]
    return jpeg


Step: TypeAlias = Captured | Exception
"""What one `read` does: return a frame, or raise."""


class FakeSource:
    """Source of a FakeCamera: opened, read and closed by one thread, which it checks."""

    def __init__(self, camera: FakeCamera) -> None:
        self._camera = camera
        self.thread: threading.Thread | None = None
        self.closed = 0

    def open(self) -> Opened:
        self.thread = threading.current_thread()
        self._camera.wait_while_it_hangs()
        if reason := self._camera.refusal():
            raise DeviceError(reason)
        return Opened((self._camera.mode,), self.controls())

    def read(self) -> Captured:
        assert threading.current_thread() is self.thread, "one thread owns a source"
        self._camera.reads += 1
        step = self._camera.next_step()
        self._camera.wait_while_it_hangs()
        if isinstance(step, Exception):
            raise step
        return step

    def controls(self) -> tuple[Control, ...]:
        return tuple(self._camera.controls.values())

    def set_control(self, change: ControlChange) -> None:
        self._camera.changes.append(change)
        control = changed(self._camera.controls.values(), change)
        self._camera.controls[control.name] = control

    def close(self) -> None:
        self.closed += 1


class FakeCamera:
    """A camera that delivers what it is given, once; then `still` every 5 ms, or nothing.

    It can be unplugged and plugged in, be held by another program, and hang in its driver.
    """

    def __init__(self, still: bytes | None = None, mode: Mode = MODE) -> None:
        self.still = still
        self.mode = mode
        self.sources: list[FakeSource] = []
        self.controls = {EXPOSURE.name: EXPOSURE}
        self.changes: list[ControlChange] = []
        self.reads = 0
        self.blocked = 0
        self._steps: queue.Queue[Step] = queue.Queue()
        self._held_by: str | None = None
        self._is_present = True
        self._runs = threading.Event()
        self._runs.set()

    def make(self) -> FakeSource:
        """Make a source, as a SourceMaker."""
        self.sources.append(FakeSource(self))
        return self.sources[-1]

    def do(self, *steps: Step) -> None:
        """Add what the next reads return or raise."""
        for step in steps:
            self._steps.put(step)

    def give(self, *jpegs: bytes) -> None:
        """Deliver JPEGs, good or bad."""
        self.do(*(Captured(jpeg=jpeg) for jpeg in jpegs))

    def unplug(self) -> None:
        """Go away: reads fail, and so does opening."""
        self._is_present = False

    def plug_in(self) -> None:
        """Come back."""
        self._is_present = True

    def be_held_by(self, program: str | None) -> None:
        """Let another program have it, or none."""
        self._held_by = program

    def hang(self) -> None:
        """Block every caller of the driver, until `go_on`."""
        self._runs.clear()

    def go_on(self) -> None:
        """Release those that are blocked."""
        self._runs.set()

    def wait_while_it_hangs(self) -> None:
        """Block as the driver does."""
        if not self._runs.is_set():
            self.blocked += 1
            self._runs.wait(_MOST_WAIT_S)
            self.blocked -= 1

    def refusal(self) -> str | None:
        """Return why it cannot be opened."""
        if not self._is_present:
            return "the camera is not plugged in"
        return f"{self._held_by} has it open" if self._held_by else None

    def next_step(self) -> Step:
        """Return what the next read does; blocks as a camera does that sees nothing new."""
        while self._is_present:
            with contextlib.suppress(queue.Empty):
                return self._steps.get(timeout=_FRAME_S)
            if self.still is not None:
                return Captured(jpeg=self.still)
        return DeviceError("the camera was unplugged")
