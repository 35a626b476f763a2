"""A V4L2 driver and OpenCV's capture on it, as far as the camera service uses them."""

from __future__ import annotations

import errno
import struct

import cv2
import numpy as np

from usbshare.camera_svc.capture import v4l2

CAPTURE, METADATA, CODEC = 0x1, 0x800000, 0x8000
EXPOSURE, EXPOSURE_AUTO, GAIN = 0x009A0902, 0x009A0901, 0x00980913
APERTURE_PRIORITY, MANUAL = 3, 1

# By pixel format: sizes, and for each the rates.
Formats = dict[bytes, dict[tuple[int, int], tuple[int, ...]]]
WEBCAM: Formats = {
    b"YUYV": {(640, 480): (30, 15), (1280, 720): (10,)},
    b"MJPG": {(640, 480): (30,), (1280, 720): (60, 30), (1920, 1080): (30,)},
}


class FakeDriver:
    """Answers ioctls; `values` are the controls, `refused` are those that cannot be set."""

    def __init__(self, formats: Formats = WEBCAM, kind: int = CAPTURE) -> None:
        self.formats = formats
        self.kind = kind
        self.bounds = {EXPOSURE: (3, 2047), EXPOSURE_AUTO: (0, 3), GAIN: (0, 255)}
        self.values = {EXPOSURE: 250, EXPOSURE_AUTO: APERTURE_PRIORITY, GAIN: 64}
        self.refused: set[tuple[int, int]] = set()
        self.is_present = True

    def __call__(self, fd: int, request: int, buffer: bytearray) -> int:
        if not self.is_present:
            raise OSError(errno.ENODEV, "No such device")
        answer = {
            v4l2.VIDIOC_QUERYCAP: self._capability,
            v4l2.VIDIOC_ENUM_FMT: self._format,
            v4l2.VIDIOC_ENUM_FRAMESIZES: self._size,
            v4l2.VIDIOC_ENUM_FRAMEINTERVALS: self._interval,
            v4l2.VIDIOC_QUERYCTRL: self._bounds,
            v4l2.VIDIOC_G_CTRL: self._get,
            v4l2.VIDIOC_S_CTRL: self._set,
        }[request]
        try:
            answer(buffer)
        except (IndexError, KeyError):
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def _capability(self, buffer: bytearray) -> None:
        struct.pack_into("II", buffer, 84, 0x80000000 | CAPTURE | METADATA, self.kind)

    def _format(self, buffer: bytearray) -> None:
        (index,) = struct.unpack_from("I", buffer)
        buffer[44:48] = list(self.formats)[index]

    def _size(self, buffer: bytearray) -> None:
        index, code = struct.unpack_from("I4s", buffer)
        struct.pack_into("III", buffer, 8, 1, *list(self.formats[code])[index])

    def _interval(self, buffer: bytearray) -> None:
        index, code, width, height = struct.unpack_from("I4sII", buffer)
        struct.pack_into("III", buffer, 16, 1, 1, self.formats[code][width, height][index])

    def _bounds(self, buffer: bytearray) -> None:
        (control,) = struct.unpack_from("I", buffer)
        struct.pack_into("ii", buffer, 40, *self.bounds[control])

    def _get(self, buffer: bytearray) -> None:
        (control,) = struct.unpack_from("I", buffer)
        struct.pack_into("i", buffer, 4, self.values[control])

    def _set(self, buffer: bytearray) -> None:
        control, value = struct.unpack("Ii", buffer)
        if (control, value) in self.refused:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.values[control] = value


class FakeCapture:
    """What `cv2.VideoCapture` does on such a driver; `frames` are its buffers, in order."""

    def __init__(self, driver: FakeDriver, frames: list[bytes] | None = None) -> None:
        self._driver = driver
        self.frames = list(frames or [])
        self.is_busy = False
        self.is_released = False
        self.taken_ms = 0.0
        self.properties: dict[int, float] = {
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
            cv2.CAP_PROP_CONVERT_RGB: 1,
        }

    def isOpened(self) -> bool:
        return not self.is_busy and not self.is_released

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        if propId == cv2.CAP_PROP_FOURCC and int(value).to_bytes(4, "little") not in (
            self._driver.formats
        ):
            return False
        self.properties[propId] = value
        return True

    def get(self, propId: int) -> float:  # noqa: N803
        return self.taken_ms if propId == cv2.CAP_PROP_POS_MSEC else self.properties[propId]

    def read(self) -> tuple[bool, np.ndarray | None]:
        if not self.frames:
            return False, None
        raw = np.frombuffer(self.frames.pop(0), np.uint8)
        if self.properties[cv2.CAP_PROP_CONVERT_RGB]:
            return True, cv2.imdecode(raw, cv2.IMREAD_COLOR)
        return True, raw.reshape(1, -1)

    def release(self) -> None:
        self.is_released = True
