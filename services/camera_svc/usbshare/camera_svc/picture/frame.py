"""Frames on their way: as captured, and as encoded for those who want the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels: TypeAlias = npt.NDArray[np.uint8]
else:
    Pixels: TypeAlias = Any


class Format(Enum):
    """How a picture is encoded."""

    JPEG = "jpeg"
    H264 = "h264"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was captured, on both clocks of the host."""

    wall_s: float
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame as the source delivered it: BGR pixels (height, width, 3), or a checked JPEG."""

    sequence: int
    captured: Stamp
    width: int
    height: int
    pixels: Pixels | None = None
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is encoded once for all who want the same; width 0 is the source's own.

    `fps` only for H.264, whose pictures build on each other: all of its viewers get the same ones.
    """

    width: int = 0
    quality: int = 80
    format: Format = Format.JPEG
    fps: float = 0.0


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded frame. `quality` is 0 for a JPEG passed through as it came.

    One that is no key frame builds on the one with the index before it, of the same stream.
    """

    sequence: int
    captured: Stamp
    width: int
    height: int
    data: bytes
    format: Format = Format.JPEG
    quality: int = 0
    is_key: bool = True
    is_placeholder: bool = False
    wait_s: float = 0.0
    encode_s: float = 0.0
    stream: int = 0
    index: int = 0
