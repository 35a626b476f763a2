"""Video files that take JPEG pictures as they are: Matroska, or one picture after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from usbshare.base.errors import ConfigError
from usbshare.bridge.camera.matroska import MatroskaWriter
from usbshare.client.camera.messages import Frame

_JUMP_S = 2.0


class VideoFile(Protocol):
    """What a recording is written to; methods raise OSError."""

    def write(self, frame: Frame, arrived_at: float) -> None:
        """Add a picture."""

    def close(self) -> None:
        """Make it whole."""


class MjpegFile:
    """One JPEG after the other: any length of it is whole, but it has no times."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, frame: Frame, arrived_at: float) -> None:
        """Add a picture."""
        del arrived_at
        self._file.write(frame.data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MatroskaFile:
    """Matroska, with the time between captures as the time between pictures."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer = MatroskaWriter(file)
        self._elapsed_s = 0.0
        self._last: tuple[Frame, float] | None = None

    def write(self, frame: Frame, arrived_at: float) -> None:
        """Add a picture."""
        if self._last is None:
            self._writer.begin(frame.width, frame.height)
        else:
            self._elapsed_s += _step_s(*self._last, frame, arrived_at)
        self._last = frame, arrived_at
        self._writer.write(frame.data, round(self._elapsed_s * 1000))

    def close(self) -> None:
        """Write the duration and close the file."""
        with self._file:
            if self._last is not None:
                self._writer.end()


def _step_s(last: Frame, last_at: float, frame: Frame, at: float) -> float:
    """Return the time between captures; between arrivals if the host restarted its count."""
    captured_s = (frame.captured_monotonic_ns - last.captured_monotonic_ns) * 1e-9
    arrived_s = at - last_at
    return captured_s if abs(captured_s - arrived_s) < _JUMP_S else arrived_s


_KINDS: dict[str, Callable[[BinaryIO], VideoFile]] = {
    ".mkv": MatroskaFile,
    ".mjpeg": MjpegFile,
    ".mjpg": MjpegFile,
}
ENDINGS = ", ".join(_KINDS)


def require_known_ending(path: Path) -> None:
    """Raise ConfigError for a file of a kind that cannot be written here."""
    if path.suffix.lower() not in _KINDS:
        raise ConfigError(f"cannot record {path}: give a name that ends in one of {ENDINGS}")


def create(path: Path) -> VideoFile:
    """Make a new file, of the kind that its ending says; raises OSError, also if there is one."""
    return _KINDS[path.suffix.lower()](path.open("xb"))
