"""What every source of pictures offers: a device, a file, a URL or a simulated bed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from usbshare.camera_svc.picture.frame import Pixels


class PixelFormat(Enum):
    """What a source delivers."""

    MJPEG = "mjpeg"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode of a source; fps is the most that it delivers."""

    width: int
    height: int
    fps: float
    format: PixelFormat


@dataclass(frozen=True, slots=True)
class Wish:
    """The mode that is asked for; a zero or None leaves the choice to the source."""

    width: int = 0
    height: int = 0
    fps: float = 0.0
    format: PixelFormat | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a camera, values in the driver's units; not automatic: locked at `value`."""

    name: str
    minimum: float
    maximum: float
    value: float
    automatic: bool = False
    can_be_automatic: bool = False


@dataclass(frozen=True, slots=True)
class ControlChange:
    """A change of one control, in the driver's units.

    None changes nothing, a value ends `automatic`.
    """

    name: str
    value: float | None = None
    automatic: bool | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a source turned out to be; the first mode is the one in use."""

    modes: tuple[Mode, ...] = ()
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame, unchecked: BGR pixels or a JPEG; the driver's time of it where there is one."""

    pixels: Pixels | None = None
    jpeg: bytes | None = None
    monotonic_ns: int | None = None


class Source(Protocol):
    """Delivers pictures to the one thread that opens, reads and closes it.

    `controls` and `set_control` may be called from any thread while it is open.
    """

    def open(self) -> Opened:
        """Open; blocks; raises DeviceError with the reason."""

    def read(self) -> Captured:
        """Return the newest frame; blocks until there is one.

        Raises BadPictureError for a frame that is none, DeviceError where there will be no more.
        """

    def controls(self) -> tuple[Control, ...]:
        """Return the controls as they are; blocks; raises DeviceError."""

    def set_control(self, change: ControlChange) -> None:
        """Change one control; blocks; raises what `changed` does, and DeviceError."""

    def close(self) -> None:
        """Close; harmless twice and after a failed `open`."""


SourceMaker: TypeAlias = Callable[[], Source]
"""Makes a new source for each opening: the last one may still hang in its driver."""
