"""JPEGs out of a file of pictures one after the other, or a folder of them, as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

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
from usbshare.camera_svc.picture.jpeg import BadPictureError, check_jpeg, outline_of

FILE_SUFFIXES = frozenset({".mjpeg", ".mjpg"})

_PICTURE_SUFFIXES = frozenset({".jpeg", ".jpg"})
_DEFAULT_FPS = 30.0
_MOST_FILE_BYTES = 256 << 20
_BEGINNING = b"\xff\xd8\xff"


class MjpegSource:
    """Source that plays a file or folder at a rate, over and over, without decoding."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps or _DEFAULT_FPS
        self._pace = Pace(self._fps)
        self._pictures: Iterator[bytes] | None = None

    def open(self) -> Opened:
        """Read a whole file, or a folder's names, and check the first picture.

        Raises DeviceError.
        """
        try:
            pictures = _in_folder(self._path) if self._path.is_dir() else _in_file(self._path)
            first = next(pictures, b"")
            width, height = check_jpeg(first)
        except (OSError, BadPictureError) as error:
            raise DeviceError(f"'{self._path}' cannot be played: {error}") from error
        self._pictures = itertools.chain([first], pictures)
        return Opened((Mode(width, height, self._fps, PixelFormat.MJPEG),))

    def read(self) -> Captured:
        """Return the next picture when it is due; raises DeviceError."""
        if self._pictures is None:
            raise DeviceError(f"'{self._path}' is not open")
        self._pace.wait()
        try:
            return Captured(jpeg=next(self._pictures))
        except OSError as error:
            raise DeviceError(f"'{self._path}' cannot be read: {error}") from error

    def controls(self) -> tuple[Control, ...]:
        """Return none: a recording has no controls."""
        return ()

    def set_control(self, change: ControlChange) -> None:
        """Raise NotFoundError."""
        changed((), change)

    def close(self) -> None:
        """Forget the pictures."""
        self._pictures = None


def _in_folder(folder: Path) -> Iterator[bytes]:
    """Yield the folder's pictures by name, forever; nothing if it has none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURE_SUFFIXES)
    for path in itertools.cycle(paths):
        yield path.read_bytes()


def _in_file(path: Path) -> Iterator[bytes]:
    """Yield the file's pictures, forever, bad ones too; nothing if there is no good one."""
    if (size := path.stat().st_size) > _MOST_FILE_BYTES:
        raise BadPictureError(f"it has {size >> 20} MiB, more than {_MOST_FILE_BYTES >> 20}")
    data = path.read_bytes()
    spans = list(_spans(data))
    for begin, end in itertools.cycle(spans):
        yield data[begin:end]


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each picture begins and ends; a bad one reaches to the next that begins."""
    at = data.find(_BEGINNING)
    while at >= 0:
        following = data.find(_BEGINNING, at + 1)
        try:
            end = outline_of(data, at).end
        except BadPictureError:
            end = following if following >= 0 else len(data)
        yield at, end
        at = data.find(_BEGINNING, end)
