"""What a V4L2 device reports, and its controls (linux/videodev2.h): OpenCV exposes neither."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.controls import changed
from usbshare.camera_svc.capture.frame_source import Control, ControlChange, Mode, PixelFormat

Ioctl: TypeAlias = Callable[[int, int, bytearray], object]

VIDIOC_QUERYCAP = 0x80685600
VIDIOC_ENUM_FMT = 0xC0405602
VIDIOC_G_CTRL = 0xC008561B
VIDIOC_S_CTRL = 0xC008561C
VIDIOC_QUERYCTRL = 0xC0445624
VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
VIDIOC_ENUM_FRAMEINTERVALS = 0xC034564B

_CAPTURE = 0x1 | 0x1000  # single and multi-planar
_CODEC = 0x4000 | 0x8000  # memory to memory: decoders and scalers of small boards
_HAS_DEVICE_CAPS = 0x80000000
_BUF_TYPE_CAPTURE = 1
_DISCRETE = 1
_CTRL_DISABLED = 1
_MJPEG_CODES = (b"MJPG", b"JPEG")
_MOST_ENTRIES = 64  # a driver that never says EINVAL must not hold us

_CAPABILITY = struct.Struct("16s32s32sIII12x")
_FMTDESC = struct.Struct("III32s4sI12x")
_FRMSIZE = struct.Struct("I4sI6I8x")
_FRMIVAL = struct.Struct("I4sIII6I8x")
_QUERYCTRL = struct.Struct("II32siiiiI8x")
_CONTROL = struct.Struct("Ii")


@dataclass(frozen=True, slots=True)
class _Knob:
    """A control and the one that makes it automatic, with the latter's two values."""

    name: str
    value_id: int
    auto_id: int
    automatic: tuple[int, ...]
    manual: int


_KNOBS = (
    # Of V4L2_CID_EXPOSURE_AUTO's values, cameras have aperture priority (3) rather than auto (0).
    _Knob("exposure", 0x009A0902, 0x009A0901, automatic=(3, 0), manual=1),
    _Knob("focus", 0x009A090A, 0x009A090C, automatic=(1,), manual=0),
    _Knob("gain", 0x00980913, 0x00980912, automatic=(1,), manual=0),
    _Knob("white_balance", 0x0098091A, 0x0098090C, automatic=(1,), manual=0),
)


class V4l2Device:
    """An open V4L2 node beside the one that captures; each call blocks for some ms at most."""

    def __init__(self, path: str, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._path = path
        self._ioctl = ioctl
        self._fd = -1

    @property
    def descriptor(self) -> int:
        """The open node's number; raises DeviceError."""
        if self._fd < 0:
            raise DeviceError(f"{self._path} is not open")
        return self._fd

    def open(self, path: str | None = None) -> None:
        """Open the node, or another one; raises DeviceError with the reason."""
        self._path = path or self._path
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DeviceError(f"{self._path} is absent: is the camera plugged in?") from None
        except PermissionError:
            raise DeviceError(
                f"{self._path} cannot be opened by this account: is it in the group video?"
            ) from None
        except OSError as error:
            raise DeviceError(f"{self._path} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Close the node; harmless twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def captures(self) -> bool:
        """Return whether the node delivers pictures: metadata nodes and codecs do not."""
        answer = self._call(VIDIOC_QUERYCAP, _CAPABILITY.pack(b"", b"", b"", 0, 0, 0))
        if answer is None:
            return False
        *_, capabilities, of_node = _CAPABILITY.unpack(answer)
        own = of_node if capabilities & _HAS_DEVICE_CAPS else capabilities
        return bool(own & _CAPTURE) and not own & _CODEC

    def modes(self) -> tuple[Mode, ...]:
        """Return the modes that the driver lists, MJPEG and big ones first."""
        found = {
            Mode(width, height, fps, _format_of(code))
            for code in self._codes()
            for width, height in self._sizes(code)
            for fps in self._rates(code, width, height)
        }
        return tuple(sorted(found, key=_preference))

    def controls(self) -> tuple[Control, ...]:
        """Return those controls that the camera has, as they are."""
        return tuple(control for knob in _KNOBS if (control := self._control(knob)))

    def set_control(self, change: ControlChange) -> None:
        """Change one control; raises what `changed` does, or DeviceError if the driver refuses."""
        control = changed(self.controls(), change)
        knob = next(knob for knob in _KNOBS if knob.name == control.name)
        if control.can_be_automatic:
            self._set_automatic(knob, on=control.automatic)
        if not control.automatic and change.value is not None:
            self._require(knob.name, self._set(knob.value_id, round(control.value)))

    def _set_automatic(self, knob: _Knob, *, on: bool) -> None:
        values = knob.automatic if on else (knob.manual,)
        self._require(knob.name, any(self._set(knob.auto_id, value) for value in values))

    def _require(self, name: str, is_done: bool) -> None:
        if not is_done:
            raise DeviceError(f"{self._path}: the driver refused to set {name}")

    def _codes(self) -> Iterator[bytes]:
        for index in range(_MOST_ENTRIES):
            asked = _FMTDESC.pack(index, _BUF_TYPE_CAPTURE, 0, b"", b"", 0)
            if (answer := self._call(VIDIOC_ENUM_FMT, asked)) is None:
                return
            yield _FMTDESC.unpack(answer)[4]

    def _sizes(self, code: bytes) -> Iterator[tuple[int, int]]:
        for index in range(_MOST_ENTRIES):
            asked = _FRMSIZE.pack(index, code, 0, *[0] * 6)
            if (answer := self._call(VIDIOC_ENUM_FRAMESIZES, asked)) is None:
                return
            _, _, kind, *sides = _FRMSIZE.unpack(answer)
            if kind != _DISCRETE:  # a range: its largest
                yield sides[1], sides[4]
                return
            yield sides[0], sides[1]

    def _rates(self, code: bytes, width: int, height: int) -> Iterator[float]:
        has_any = False
        for index in range(_MOST_ENTRIES):
            asked = _FRMIVAL.pack(index, code, width, height, 0, *[0] * 6)
            if (answer := self._call(VIDIOC_ENUM_FRAMEINTERVALS, asked)) is None:
                break
            # Of a range the first interval is the shortest.
            _, _, _, _, kind, numerator, denominator, *_ = _FRMIVAL.unpack(answer)
            has_any = True
            yield round(denominator / numerator, 3) if numerator else 0.0
            if kind != _DISCRETE:
                break
        if not has_any:
            yield 0.0

    def _control(self, knob: _Knob) -> Control | None:
        bounds = self._bounds(knob.value_id)
        value = self._get(knob.value_id) if bounds else None
        if bounds is None or value is None:
            return None
        mode = self._get(knob.auto_id) if self._bounds(knob.auto_id) else None
        automatic = mode is not None and mode != knob.manual
        return Control(knob.name, *bounds, value, automatic, can_be_automatic=mode is not None)

    def _bounds(self, control_id: int) -> tuple[int, int] | None:
        asked = _QUERYCTRL.pack(control_id, 0, b"", 0, 0, 0, 0, 0)
        if (answer := self._call(VIDIOC_QUERYCTRL, asked)) is None:
            return None
        _, _, _, least, most, _, _, flags = _QUERYCTRL.unpack(answer)
        return None if flags & _CTRL_DISABLED else (least, most)

    def _get(self, control_id: int) -> int | None:
        answer = self._call(VIDIOC_G_CTRL, _CONTROL.pack(control_id, 0))
        return None if answer is None else int(_CONTROL.unpack(answer)[1])

    def _set(self, control_id: int, value: int) -> bool:
        return self._call(VIDIOC_S_CTRL, _CONTROL.pack(control_id, value)) is not None

    def _call(self, request: int, asked: bytes) -> bytes | None:
        """Return the driver's answer, None for what it does not have or refuses."""
        buffer = bytearray(asked)
        try:
            self._ioctl(self.descriptor, request, buffer)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise DeviceError(f"{self._path} was unplugged") from error
            return None
        return bytes(buffer)


def is_camera(path: str, ioctl: Ioctl = fcntl.ioctl) -> bool | None:
    """Return whether a node delivers pictures; None where it may not be opened to ask."""
    device = V4l2Device(path, ioctl)
    try:
        device.open()
        return device.captures()
    except DeviceError:
        return None
    finally:
        device.close()


def _format_of(code: bytes) -> PixelFormat:
    return PixelFormat.MJPEG if code in _MJPEG_CODES else PixelFormat.RAW


def _preference(mode: Mode) -> tuple[bool, int, float]:
    return mode.format is not PixelFormat.MJPEG, -mode.width * mode.height, -mode.fps
